FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
# The packages change seldom: built around an empty program, they are a layer that a change of ours leaves as it is.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked \
    && rm -r src
COPY config config
COPY src src
# Cargo goes by the files' times, and ours may be older than the empty program.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked

# The C library that the binary was linked with, and no shell. TLS roots are in the binary.
FROM gcr.io/distroless/cc-debian12:nonroot
WORKDIR /app
COPY --from=build /build/target/release/integration-app-mcp-server ./
COPY --from=build /build/config config
ENV APP_ENV=production
EXPOSE 3000
ENTRYPOINT ["/app/integration-app-mcp-server"]
