# frozen_string_literal: true

# `rails generate tidegate:install`: writes config/tidegate.rb, with what a config/puma.rb says that still says something.

require "rails/generators"
require "tidegate"

module Tidegate
  module Generators
    class InstallGenerator < ::Rails::Generators::Base
      # What the file begins with: the settings that an app may want, as comments, since the defaults are meant to be right.
      HEAD = <<~RUBY
        # The configuration of Tidegate: each option of `tidegate --help` is a method here. All of them, with their defaults and their
        # environment variables: docs/options.md of the gem. `bundle exec tidegate --check` says what comes of this file.
        # A flag comes before an environment variable, that before this file.

        # Where to listen, instead of on PORT: a Unix socket for a proxy on the same machine, an address.
        # bind "unix://tmp/sockets/tidegate.sock?umask=0117"
        # bind "tcp://127.0.0.1:3000"

        # Processes that serve; :auto is one for each CPU of the container, WEB_CONCURRENCY sets it too. One process needs no master.
        # workers :auto

        # Threads need no number: a request that waits holds none up. RAILS_MAX_THREADS bounds them, else the database's pool.

        # On SIGTERM everything new is served for the delay, then what is in flight is finished. In Kubernetes both come by themselves.
        # drain_delay 5
        # shutdown_timeout 25

        # Probes, metrics for Prometheus and a page for people, apart from the app.
        # admin "tcp://0.0.0.0:9394"

        # Seconds that the app may take for a request; then the client gets 504 and the log says where the app is.
        # request_timeout 30

        # Proxies that are believed when they say which client a request is from.
        # trusted_proxies "private"
        # forwarded_headers "X-Forwarded-For", "X-Forwarded-Proto"
      RUBY

      # For an app that has no file of Puma's; from one, it is read.
      USUAL = <<~RUBY

        port ENV.fetch("PORT", 3000)

        # bin/rails restart
        restart_file "tmp/restart.txt"

        pidfile ENV["PIDFILE"] if ENV["PIDFILE"]
      RUBY

      PUMA = "config/puma.rb"

      desc "Writes config/tidegate.rb, with what is said in config/puma.rb."

      def write_configuration
        create_file "config/tidegate.rb", HEAD + (from_puma || USUAL)
      end

      def tell_of_puma
        say_status :note, "#{PUMA} is not read any more, as there is config/tidegate.rb" if File.file?(puma)
      end

      private

      def puma = File.expand_path(PUMA, destination_root)

      def from_puma
        return unless File.file?(puma)

        "\n# From #{PUMA}:\n\n#{FromPuma.new(puma)}"
      rescue ConfigurationError => error
        say_status :skip, "#{PUMA}: #{error.message}", :red
      end
    end
  end
end
