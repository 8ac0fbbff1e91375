# frozen_string_literal: true

# The exceptions that mean "the person who started this server has to do something". Each carries one plain
# sentence; the command line prints it and exits with status 1. Anything else that is raised is a bug.

module Tidegate
  class Error < StandardError; end

  # An option that does not exist, or a value that it cannot have.
  class ConfigurationError < Error; end

  # A request body that has grown past http_content_length_limit while the app reads it (stream_input).
  class BodyTooLong < Error; end

  # An address that cannot be listened on.
  class BindError < Error; end

  # A rackup file that is missing, or that raised while it was loaded.
  class AppLoadError < Error; end
end
