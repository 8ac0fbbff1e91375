# frozen_string_literal: true

# How many threads may run the app where nobody has set it. That depends on the app: with ActiveRecord a thread
# beyond the connection pool only waits for one. So there are two numbers, one for before the app is loaded and one
# for after.

module Tidegate
  module ThreadLimit
    # Enough to overlap the waiting of an ordinary app; the Rust core sees to it that they do not fight over the GVL.
    MOST = 32

    module_function

    # The most that it can become, for the sockets and queues that are made before the app is loaded.
    def before_boot(configuration)
      configuration.max_threads || [MOST, configuration.min_threads].max
    end

    # What it is, now that the app is loaded.
    def after_boot(configuration)
      configuration.max_threads || [[active_record_pool, MOST].compact.min, configuration.min_threads].max
    end

    # The size of ActiveRecord's pool; nil where there is none, or none that is configured, or one without a bound.
    def active_record_pool
      return unless defined?(::ActiveRecord::Base)

      size = ::ActiveRecord::Base.connection_pool.size
      size if size.is_a?(Integer) && size.positive?
    rescue StandardError
      nil # no database is configured: ActiveRecord has several exceptions to say so, by version
    end

    private_class_method :active_record_pool
  end
end
