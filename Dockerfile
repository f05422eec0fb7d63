FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
# Nothing but the kernel is needed to run what is linked so. A target that is named keeps that from the build's own programs.
ENV RUSTFLAGS="-C target-feature=+crt-static"
# Names of functions are for debuggers, which an image without a shell has not.
ENV CARGO_PROFILE_RELEASE_STRIP=symbols
# The packages change seldom: built around an empty program, they are a layer that a change of ours leaves as it is.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --no-default-features --features otel --target "$(uname -m)-unknown-linux-gnu" \
    && rm -r src
COPY config config
COPY src src
# Cargo goes by the files' times, and ours may be older than the empty program.
RUN mkdir data \
    && touch src/lib.rs src/main.rs \
    && cargo build --release --locked --no-default-features --features otel --target "$(uname -m)-unknown-linux-gnu" \
    && cp "target/$(uname -m)-unknown-linux-gnu/release/integration-app-mcp-server" .
COPY LICENSE deploy/notices ./
RUN sh notices "$(uname -m)-unknown-linux-gnu" > THIRD-PARTY-NOTICES

# No shell and no libraries. TLS roots are in the binary.
FROM gcr.io/distroless/static-debian12:nonroot
WORKDIR /app
COPY --from=build /build/integration-app-mcp-server ./
COPY --from=build /build/config config
COPY --from=build /build/LICENSE ./
COPY --from=build /build/THIRD-PARTY-NOTICES ./
# What outlasts the container; the only place that is written to. The user is that of the image, by its number, so that a
# cluster can see that it is not root.
COPY --from=build --chown=65532:65532 /build/data /data
VOLUME ["/data"]
USER 65532:65532
ENV APP_ENV=production
EXPOSE 3000 9464
HEALTHCHECK --interval=10s --timeout=6s --start-period=5s --retries=3 \
    CMD ["/app/integration-app-mcp-server", "healthcheck"]
ENTRYPOINT ["/app/integration-app-mcp-server"]
