# frozen_string_literal: true

# The exceptions that Tidegate raises. The message of each is one plain sentence for the person who started the server; the
# command line prints it and exits with status 1, unless it is about a request. Any other exception is a bug.

module Tidegate
  # The superclass of most of them. It is raised itself for a call out of order, such as a second Server#start.
  class Error < StandardError; end

  # An option that does not exist, or a value that it cannot have.
  class ConfigurationError < Error; end

  # An address that cannot be listened on.
  class BindError < Error; end

  # A rackup file that is missing, or that raised while it was loaded; its exception is the +cause+.
  class AppLoadError < Error; end

  # Raised in the app's thread when the app has had a request for longer than request_timeout; the client has been answered with
  # 504 by then. It is no StandardError, so that a `rescue => error` around a call that hangs does not swallow it; `ensure` and
  # `rescue Exception`, which ActiveRecord's transactions roll back in, see it. Code that must not be interrupted masks it:
  # `Thread.handle_interrupt(Tidegate::RequestTimeout => :never) { ... }`.
  class RequestTimeout < Exception; end # rubocop:disable Lint/InheritException -- see above

  # Included in what reading a request body raises when the rest of it will not come (stream_input). The client is at fault: if
  # the app does not rescue it, the server answers with 400, 408 or 413, counts it as refused, and logs nothing, so that clients
  # cannot fill the log.
  module ClientError; end

  # The client left in the middle of the body. It is answered with 400, if it still reads.
  class BodyCut < Errno::ECONNRESET
    include ClientError
  end

  # The body is not framed as HTTP wants it, for example in a chunk without its size. The client is answered with 400.
  class BodyMalformed < Error
    include ClientError
  end

  # The body stopped coming, or came too slowly. The client is answered with 408.
  class BodyTimeout < Errno::ETIMEDOUT
    include ClientError
  end

  # The body has grown past http_content_length_limit. The client is answered with 413.
  class BodyTooLong < Error
    include ClientError
  end
end
