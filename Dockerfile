# Two stages: the first builds, the second holds the program alone.
#
#   docker build -t waypost .
#   docker run -e DATABASE_URL=postgresql://… -p 8080:8080 waypost

FROM rust:1-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY migrations migrations
COPY config config
COPY loadtest loadtest
COPY tests tests
RUN cargo build --release --locked --bin waypost

FROM debian:bookworm-slim
COPY --from=build /src/target/release/waypost /usr/local/bin/waypost
# Where clicks wait while PostgreSQL is away. Mount a volume here, or they are gone with the container.
RUN install -d -o 65532 -g 65532 /var/lib/waypost/spool
VOLUME /var/lib/waypost/spool
# A number, so that an orchestrator can see that it is not root.
USER 65532:65532
# In a container the control listener is reached from outside it; publish it to nobody but yourself.
ENV WAYPOST_EDGE__LISTEN=0.0.0.0:8080 \
    WAYPOST_CONTROL__LISTEN=0.0.0.0:8081 \
    WAYPOST_LOG__FORMAT=json
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["waypost"]
CMD ["serve"]
