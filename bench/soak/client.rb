# frozen_string_literal: true

# One client of the soak: a thread that asks for one thing after another, on kept connections and on new ones, and now
# and then leaves in the middle.

require "socket"

module Soak
  class Client
    HEAD = "GET %s HTTP/1.1\r\nHost: soak\r\nX-Soak: %d\r\n\r\n"

    # What is asked for, how often in a round, and how the answer ends.
    KINDS = {
      "/hello" => 10, "/post" => 4, "/upload" => 1, "/each" => 4, "/call" => 4, "/file" => 2, "/error" => 1, "/wait" => 4,
      "/finished" => 4, "/hints" => 2, "/hijack" => 2, "/abort" => 2, "/new" => 4
    }.flat_map { |kind, count| [kind] * count }.freeze

    attr_reader :done, :failures

    # +pause+ seconds between two requests.
    def initialize(port, pause)
      @port = port
      @pause = pause
      @done = 0
      @failures = Hash.new(0)
      @random = Random.new
    end

    def run
      until @stopped
        one(KINDS.sample(random: @random))
        sleep(@pause)
      end
      @socket&.close
    end

    def stop = @stopped = true

    private

    def one(kind)
      ask(kind)
      @done += 1
    rescue SystemCallError, IOError, RuntimeError => error
      @failures["#{kind}: #{error.class} #{error.message}"] += 1
      @socket&.close
      @socket = nil
    end

    def ask(kind)
      case kind
      when "/post" then post("p" * @random.rand(1..5000))
      when "/upload" then post("u" * 300_000)
      when "/hijack" then alone { |socket| hijack(socket) }
      when "/abort" then alone { |socket| leave(socket) }
      when "/new" then alone { |socket| get(socket, "/hello") }
      else get(socket, kind)
      end
    end

    def socket = @socket ||= TCPSocket.new("127.0.0.1", @port)

    def alone
      socket = TCPSocket.new("127.0.0.1", @port)
      yield socket
    ensure
      socket&.close
    end

    def get(socket, path)
      socket.write(format(HEAD, path, @random.rand(1000)))
      expected = path == "/error" ? 500 : 200
      status, = response(socket)
      raise "status #{status}" unless status == expected
    end

    def post(body)
      socket.write("POST /post HTTP/1.1\r\nHost: soak\r\nContent-Length: #{body.bytesize}\r\n\r\n#{body}")
      _, answer = response(socket)
      raise "#{answer} of #{body.bytesize} bytes arrived" unless answer == body.bytesize.to_s
    end

    def hijack(socket)
      socket.write("#{format(HEAD, "/hijack", 0)}echo me\n")
      echo = socket.read
      raise "echoed #{echo.inspect}" unless echo == "echo me\n"
    end

    def leave(socket)
      socket.write(format(HEAD, "/each", 0))
      socket.readpartial(10)
      socket.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii"))
    end

    # Status and body of the next response that is no 103.
    def response(socket)
      head = socket.gets("\r\n\r\n") or raise EOFError, "no response"
      return response(socket) if head.start_with?("HTTP/1.1 103")

      [head[9, 3].to_i, body(socket, head)]
    end

    def body(socket, head)
      length = head[/^content-length: (\d+)/, 1]
      return socket.read(length.to_i).tap { |body| raise EOFError, "cut" unless body.bytesize == length.to_i } if length

      body = +""
      while (size = (socket.gets("\r\n") || raise(EOFError, "cut")).to_i(16)).positive?
        body << socket.read(size)
        socket.read(2)
      end
      socket.read(2)
      body
    end
  end
end
