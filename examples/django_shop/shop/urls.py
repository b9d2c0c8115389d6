"""The URLs."""

from django.contrib import admin
from django.urls import path

from shop import views

urlpatterns = [
    path("", views.home, name="home"),
    path("sign-up/", views.sign_up, name="sign-up"),
    path("link/", views.link, name="link"),
    path("reports/", views.write_report, name="write-report"),
    path("reports.csv", views.export, name="export"),
    path("single-sign-on/", views.single_sign_on, name="single-sign-on"),
    path("upgrade/", views.upgrade, name="upgrade"),
    path("billing/success/", views.checkout_succeeded, name="checkout-succeeded"),
    path("admin/", admin.site.urls),
]
