# frozen_string_literal: true

# The exceptions that mean "the person who started this server has to do something". Each carries one plain
# sentence; the command line prints it and exits with status 1. Anything else that is raised is a bug.

module Tidegate
  class Error < StandardError; end

  # An option that does not exist, or a value that it cannot have.
  class ConfigurationError < Error; end

  # An address that cannot be listened on.
  class BindError < Error; end

  # A rackup file that is missing, or that raised while it was loaded.
  class AppLoadError < Error; end

  # What reading a request body raises that is still arriving (stream_input) and whose rest will not come: the client is at
  # fault. An app that does not rescue it has its client answered with 400, 408 or 413, and it is reported nowhere, so that
  # clients cannot fill the log: it is counted, like what is refused before the app is called.
  module ClientError; end

  # The client left in the middle of the body (400, where it can still read).
  class BodyCut < Errno::ECONNRESET
    include ClientError
  end

  # The body is not framed as HTTP wants it: a chunk without its size (400).
  class BodyMalformed < Error
    include ClientError
  end

  # No more of the body came in time, or not enough (408).
  class BodyTimeout < Errno::ETIMEDOUT
    include ClientError
  end

  # The body has grown past http_content_length_limit (413).
  class BodyTooLong < Error
    include ClientError
  end
end
