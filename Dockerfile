# The fake ChatarminOS as a service: docker build -t chatarmin-os . && docker run --rm -p 127.0.0.1:3001:3001 chatarmin-os
# Pinned to a minor version of Python and a release of Debian: a new build gets their security fixes, and nothing else.
FROM python:3.13-slim-trixie

WORKDIR /source
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY chatarmin_os chatarmin_os
RUN pip install --no-cache-dir ".[server]"
RUN rm -r /source && useradd --create-home fake && install -d -o fake /state

USER fake
WORKDIR /home/fake
VOLUME /state
EXPOSE 3001
HEALTHCHECK --interval=5s --timeout=3s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:3001/')"]
# Ports of a container are reached from outside it; what may reach them is for -p to say.
ENTRYPOINT ["chatarmin-os", "serve", "--host", "0.0.0.0"]
