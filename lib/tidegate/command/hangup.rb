# frozen_string_literal: true

# What HUP does to a server without workers, where it does not say that a terminal has gone: log files are opened anew, the files of
# certificates are looked at anew.

module Tidegate
  class Hangup
    # +redirect+ are the files that output goes to, nil for none. The block returns the server, once there is one.
    def initialize(configuration, log, env, redirect, &server)
      @configuration = configuration
      @log = log
      @env = env
      @redirect = redirect
      @server = server
    end

    # Whether there is something to do.
    def meant? = !@configuration.cluster? && (!@redirect.nil? || (@configuration.tls? && !OtherSignals.terminal?))

    def call
      reopen_logs if @redirect
      reload_certificates if @configuration.tls?
    end

    private

    def reload_certificates
      @log.info("SIGHUP: the files of certificates are looked at anew")
      server&.reload_certificates
    end

    def reopen_logs
      systemd = Systemd.from(@env) if server && !server.draining?
      systemd&.reloading("opening the log files anew")
      @log.info("SIGHUP: the log files are opened anew") if @redirect.reopen(server)
      systemd&.ready("serving on #{server.addresses.join(", ")}")
    end

    def server = @server.call
  end
end
