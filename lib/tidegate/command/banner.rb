# frozen_string_literal: true

# What a server says of itself before it is ready: what runs, on which Ruby; and what a file sets that need not be set.

module Tidegate
  module Banner
    module_function

    # One line: the version, Ruby, the environment and the process.
    # @param configuration [Configuration]
    # @return [String]
    def sentence(configuration)
      "version #{VERSION} on Ruby #{RUBY_VERSION} #{yjit}, environment #{configuration.environment}, process #{Process.pid}"
    end

    # The same for machines.
    # @return [Hash{Symbol => Object}]
    def fields(configuration)
      { event: "booted", version: VERSION, ruby: RUBY_VERSION, yjit: yjit?, environment: configuration.environment, pid: Process.pid }
    end

    # A sentence where a file sets one number of threads, as the config/puma.rb does that Rails makes; nil otherwise.
    # @return [String, nil]
    def threads_hint(configuration)
      places = %i[min_threads max_threads].map { |name| configuration.origin(name) }
      return unless places.uniq.size == 1 && places.first.to_s.match?(/\.rb:\d+\z/) && configuration.min_threads == configuration.max_threads

      "#{places.first}: threads #{configuration.min_threads}, #{configuration.max_threads}: no number of threads has to be tuned here, and " \
        "without this line more requests may wait at once (docs/threads.md)"
    end

    def yjit? = defined?(RubyVM::YJIT) && RubyVM::YJIT.enabled? ? true : false

    def yjit = yjit? ? "with YJIT" : "without YJIT"

    private_class_method :yjit?, :yjit
  end
end
