# frozen_string_literal: true

# What the native side is told: the options that the table marks as its own, each by its name, with the
# values that depend on others or on where the server runs. `:auto` and nil go as they are: the native side knows both.

module Tidegate
  module NativeSettings
    module_function

    # The Hash for Native::Server.new and Native.plan. Raises a ConfigurationError where the file of the admin token is not
    # what it should be.
    def of(configuration, surroundings)
      options = Configuration::OPTIONS.each_value.select(&:native)
      options.to_h { |option| [option.name, configuration.public_send(option.name)] }.merge(
        **surroundings.sockets.settings(configuration),
        admin_token: AdminToken.of(configuration),
        max_threads: ThreadLimit.before_boot(configuration),
        platform: surroundings.platform,
        spool_directory: String.new(configuration.spool_directory || surroundings.temporary_directory, encoding: Encoding::UTF_8)
      )
    end
  end
end
