# frozen_string_literal: true

# How many threads may run the app if max_threads is not set. That depends on the app: with ActiveRecord, a thread beyond the
# size of the connection pool only waits for a connection. So there are two numbers, one before the app is loaded and one after.

module Tidegate
  module ThreadLimit
    # Enough threads to overlap the waiting of an ordinary app; the Rust core keeps them from fighting over the GVL.
    MOST = 32

    module_function

    # The most threads that there can be, for the sockets and queues that are made before the app is loaded.
    def before_boot(configuration)
      configuration.max_threads || [MOST, configuration.min_threads].max
    end

    # How many threads there may be, now that the app is loaded.
    def after_boot(configuration)
      configuration.max_threads || [[active_record_pool, MOST].compact.min, configuration.min_threads].max
    end

    # The size of ActiveRecord's pool; nil if there is no pool, or it is not configured, or it has no bound.
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
