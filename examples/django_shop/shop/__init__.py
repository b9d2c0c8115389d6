"""A shop for reports: sign-up, pages that need a feature, a metered form, Stripe, and an admin page."""
