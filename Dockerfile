# `turbo`, with turbo and turbo-operator, and `turbo-sim`: the programs, what they are linked with and the certificates that
# Debian trusts; no shell, user 65532. `prebuilt` and `prebuilt-sim` are the same of what scripts/image.sh has put together.
ARG RUST=rust:1.95-bookworm
ARG BASE=scratch

FROM ${RUST} AS tools
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
RUN cargo install --locked cargo-chef
WORKDIR /build

FROM tools AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM tools AS build
COPY --from=plan /build/recipe.json recipe.json
# A layer of its own: it is made again when a dependency changes, and not when our code does.
RUN cargo chef cook --release --locked --recipe-path recipe.json -p turbo-worker -p turbo-operator -p turbo-sim
COPY . .
RUN cargo build --release --locked --bins -p turbo-worker -p turbo-operator -p turbo-sim && scripts/image.sh roots target/release /roots

FROM ${BASE} AS based
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="TurboPipeline" \
      org.opencontainers.image.description="Reads the AT Protocol event stream into PostgreSQL, S3 and NATS" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/usr/local/bin
USER 65532:65532

FROM based AS prebuilt
COPY turbo /
CMD ["turbo", "--help"]

FROM based AS prebuilt-sim
COPY turbo-sim /
ENTRYPOINT ["turbo-sim"]

FROM based AS turbo-sim
COPY --from=build /roots/turbo-sim /
ENTRYPOINT ["turbo-sim"]

FROM based AS turbo
COPY --from=build /roots/turbo /
CMD ["turbo", "--help"]
