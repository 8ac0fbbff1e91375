# frozen_string_literal: true

module Rig
  # What HAProxy needs to know to stand in front of one server: every request may use any of its connections to the server, and it
  # opens more only where all of them are in use.
  module HAProxy
    CONFIGURATION = <<~TEXT
      global
        maxconn 4096
        nbthread 1
      defaults
        mode http
        timeout connect 10s
        timeout client 60s
        timeout server 60s
        retries 0
        http-reuse always
      frontend front
        bind fd@%<front>d %<options>s
        default_backend servers
      backend servers
        server one %<server>s pool-max-conn 256 pool-purge-delay 60s
    TEXT

    # `front` is the number of the listening socket, `options` those of its bind line; `server` is where the server listens.
    def self.configuration(front:, server:, options: "") = format(CONFIGURATION, front:, server:, options:)
  end
end
