# frozen_string_literal: true

# What is said of a boot that has failed: a sentence, and for an app that cannot be loaded its backtrace, because the log is all that
# there is of a container which starts again and again.

module Tidegate
  module BootFailure
    module_function

    # Logs it.
    # @param error [Error]
    # @param log [Log]
    # @param configuration [Configuration, nil] nil where it is the configuration that cannot be read
    def tell(error, log, configuration)
      unless error.is_a?(AppLoadError) && error.cause
        return log.error("#{error.message}#{Occupant.hint(configuration) if error.is_a?(BindError)}")
      end

      shorten(error.cause) unless configuration&.debug
      log.report(error.cause, event: "boot_error", detail: true) { error.message }
    end

    # Leaves out the levels of the backtrace that have led to the app: this server's, Bundler's, RubyGems'. What has caused the error
    # is no longer.
    def shorten(error)
      levels = error.backtrace.to_a.take_while { |level| !level.start_with?(__dir__) }
      error.set_backtrace(levels) if levels.any?
      shorten(error.cause) if error.cause
    end
    private_class_method :shorten
  end
end
