# Blindvault's image: the executable on glibc, certificates and time zones, without a shell or a package manager.
#
# Bases are pinned by tag and by the digest of the multi-platform index; Dependabot keeps both up. By hand:
#   docker buildx imagetools inspect gcr.io/distroless/base-nossl-debian13:nonroot

FROM --platform=$BUILDPLATFORM node:24.21.0-bookworm-slim@sha256:2fe369e969550cde8e867afc3fe370b260140cab4a23d467074295b42163d553 AS build
# Given by the builder: amd64 or arm64. Bun compiles for either on either, so nothing is emulated.
ARG TARGETARCH
WORKDIR /src
COPY . .
RUN npx -y bun@1.4.5 install --frozen-lockfile --production \
  && npx -y bun@1.4.5 run build:binary --target=bun-linux-$TARGETARCH \
  && install -d -m 700 /data

FROM gcr.io/distroless/base-nossl-debian13:nonroot@sha256:8c563c1fb5e120606f0d85733049775faed6192e2bd2223ef283a5393eec22b9
LABEL org.opencontainers.image.title="Blindvault" \
  org.opencontainers.image.description="A zero-knowledge store for passwords and secrets" \
  org.opencontainers.image.licenses="MIT"
COPY --from=build /src/dist/blindvault /usr/local/bin/blindvault
# A new volume takes its owner from here.
COPY --from=build --chown=65532:65532 /data /data
ENV HOST=0.0.0.0 PORT=4000 DATA_DIR=/data
USER 65532:65532
VOLUME /data
EXPOSE 4000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/blindvault", "health"]
ENTRYPOINT ["/usr/local/bin/blindvault"]
CMD ["serve"]
