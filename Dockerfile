# The static binary is built first (make image), so that no base image and no
# network is needed. 65532 is no user of the host.
FROM scratch
COPY bin/image/heartbeat /heartbeat
# Empty directories that volumes inherit their owner from.
COPY --chown=65532:65532 bin/image/empty /data
COPY --chown=65532:65532 bin/image/empty /keys
USER 65532:65532
ENV HEARTBEAT_DATA_DIR=/data
EXPOSE 7946/tcp 7946/udp 7980/tcp
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s --retries=3 CMD ["/heartbeat", "health", "--ready"]
ENTRYPOINT ["/heartbeat"]
CMD ["agent"]
