# frozen_string_literal: true

# Asks the admin listener: one request for each connection, as it serves them, over TCP or a Unix socket.

require "socket"

module Tidegate
  module Control
    class Client
      # Seconds to connect.
      CONNECT_TIMEOUT = 5

      # Seconds for a whole answer. The server gives Ruby 10 s.
      ANSWER_TIMEOUT = 15

      # The most bytes of an answer.
      MOST = 64 * 1024 * 1024

      # The status, and the body in UTF-8.
      Answer = Data.define(:status, :body) do
        def ok? = status == 200
      end

      # What an address is, and how it is reached.
      TCP = %r{\A(?:tcp|http)://(?<host>\[[\w:.%]+\]|[^\[\]:/]+):(?<port>\d+)/?\z}
      UNIX = %r{\Aunix://(?<path>[^?]+)}

      # The address.
      attr_reader :url

      # +url+ is tcp://HOST:PORT, http://HOST:PORT or unix://PATH. Raises a Failure where it is neither.
      def initialize(url, token: nil)
        @url = url
        @token = token
        @tcp = TCP.match(url)
        @path = UNIX.match(url)&.[](:path)
        raise Failure, "#{url} is no address of an admin listener: it is tcp://HOST:PORT or unix://PATH" unless @tcp || @path
        raise Failure, "#{url} has no fixed port: give the one that the server has printed as \"probes on\"" if @tcp && @tcp[:port].to_i.zero?
      end

      # The Answer to a request. +timeout+ in seconds; nil waits for as long as the server takes. Raises a Failure.
      def request(verb, path, timeout: ANSWER_TIMEOUT)
        deadline = timeout && (now + timeout)
        socket = connect
        send_request(socket, verb, path)
        parse(read(socket, deadline))
      rescue Errno::ENOENT, Errno::ECONNREFUSED
        raise Failure, "no server answers on #{@url}: it does not run, or its admin listener is elsewhere"
      rescue Errno::EACCES, Errno::EPERM
        raise Failure, "the permissions of #{@path || @url} do not allow this user to connect"
      rescue SystemCallError, SocketError, IOError => error
        raise Failure, "#{@url} cannot be asked: #{Fault.reason(error)}"
      ensure
        socket&.close
      end

      # The body of an answer to a GET. Raises a Failure unless it is 200.
      def get(path, **)
        answer = request("GET", path, **)
        return answer.body if answer.ok?

        raise Failure, "#{@url} answers #{path} with #{answer.status}: #{answer.body.lines.first&.strip}"
      end

      private

      def connect
        return Socket.tcp(host, @tcp[:port].to_i, connect_timeout: CONNECT_TIMEOUT) if @tcp

        path = @path.start_with?("@") ? @path.sub("@", "\0") : @path
        Addrinfo.unix(path).connect(timeout: CONNECT_TIMEOUT)
      rescue ArgumentError # longer than the name of a Unix socket may be
        raise Failure, "#{@url} is no address: the path is too long for a Unix socket"
      end

      # A server that listens on all addresses is reached on the machine's own.
      def host
        case (host = @tcp[:host].delete("[]"))
        when "0.0.0.0" then "127.0.0.1"
        when "::" then "::1"
        else host
        end
      end

      def send_request(socket, verb, path)
        name = @tcp ? "#{host.include?(":") ? "[#{host}]" : host}:#{@tcp[:port]}" : "localhost"
        lines = ["#{verb} #{path} HTTP/1.1", "host: #{name}", "connection: close", "accept: */*"]
        lines << "authorization: Bearer #{@token}" if @token
        lines << "content-length: 0" if verb == "POST"
        socket.write("#{lines.join("\r\n")}\r\n\r\n")
      end

      def read(socket, deadline)
        text = +""
        loop do
          left = deadline && (deadline - now)
          unless socket.wait_readable(left && [left, 0].max)
            raise Failure, "#{@url} has not answered within #{ANSWER_TIMEOUT} s: the server may be stopped, or it is no admin listener"
          end
          part = socket.read_nonblock(64 * 1024, exception: false) or return text
          text << part unless part == :wait_readable
          raise Failure, "#{@url} is no admin listener of Tidegate: its answer does not end" if text.bytesize > MOST
        end
      end

      def parse(text)
        head, body = text.split("\r\n\r\n", 2)
        status = head.to_s[%r{\AHTTP/1\.[01] (\d{3})}, 1]
        raise Failure, "#{@url} is no admin listener of Tidegate: it does not speak HTTP/1.1" unless status && body

        length = head[/^content-length: *(\d+)/i, 1]
        raise Failure, "the answer of #{@url} was cut off" if length && body.bytesize < length.to_i

        Answer.new(status: status.to_i, body: body.force_encoding(Encoding::UTF_8).scrub)
      end

      def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
