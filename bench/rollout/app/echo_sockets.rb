# frozen_string_literal: true

require_relative "../frames"

# The server's side of WebSockets that send back what comes (RFC 6455, short messages without fragments), over sockets
# taken from the server by full hijack. One thread serves all of them.
#
# Once the server drains, each is closed with 1001 at a random moment, so that the clients connect elsewhere and not all
# at once. A server that does not say that it drains leaves them to their fate.
module Rollout
  class EchoSockets
    include Frames # its opcodes

    GOING_AWAY = 1001

    LOOK = 0.1 # seconds between two looks at the clock and at the server
    LEAVE = (0.5..2.5) # seconds from the drain to the Close
    CLOSE_TIMEOUT = 5.0 # seconds for the client to answer it

    # `closes_at` is when to send the Close, `cut_at` when to wait no longer for its answer.
    Client = Struct.new(:io, :input, :closes_at, :cut_at)

    def self.asked?(env) = env["HTTP_UPGRADE"]&.casecmp?("websocket") && env["HTTP_SEC_WEBSOCKET_KEY"]

    def initialize
      @draining = -> { false }
      @start = Mutex.new
    end

    # Answers the handshake in `env` and serves its socket from now on.
    def take(env)
      io = env["rack.hijack"].call
      @draining = env["tidegate.draining"] || @draining
      accept = Frames.accept(env["HTTP_SEC_WEBSOCKET_KEY"])
      io.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n" \
               "sec-websocket-accept: #{accept}\r\n\r\n")
      @start.synchronize { begin_here unless @pid == Process.pid }
      @arrivals << Client.new(io, "".b)
      @waker.write_nonblock("x", exception: false)
    rescue SystemCallError
      io&.close
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    # A worker of a cluster may be forked from a process that has had sockets and a thread of its own.
    def begin_here
      @pid = Process.pid
      @clients = {}
      @arrivals = Queue.new
      @wake, @waker = IO.pipe
      @thread = Thread.new { serve }
    end

    def serve
      loop do
        ready, = IO.select([@wake, *@clients.keys], nil, nil, LOOK)
        welcome
        ready&.each { |io| read(@clients[io]) if @clients.key?(io) }
        see_off if @draining.call
      end
    end

    def welcome
      @wake.read_nonblock(1000, exception: false)
      @arrivals.size.times { @arrivals.pop.then { |client| @clients[client.io] = client } }
    end

    def read(client)
      case piece = client.io.read_nonblock(16_384, exception: false)
      when :wait_readable then nil
      when nil then drop(client)
      else
        client.input << piece
        while @clients.key?(client.io) && (frame = next_frame(client.input))
          answer(client, *frame)
        end
      end
    rescue SystemCallError, IOError
      drop(client)
    end

    # Takes a whole frame from what came: its opcode and its payload.
    def next_frame(input)
      return if input.bytesize < 8

      short = input.getbyte(1) & 0x7F
      head, length = short == 126 ? [8, input.byteslice(2, 2).unpack1("n")] : [6, short]
      return if input.bytesize < head + length

      frame = input.slice!(0, head + length)
      [frame.getbyte(0) & 0x0F, Frames.mask(frame.byteslice(head..), frame.byteslice(head - 4, 4))]
    end

    # Nothing is sent after a Close, from either side.
    def answer(client, opcode, payload)
      case opcode
      when CLOSE
        send(client, CLOSE, payload.byteslice(0, 2)) unless client.cut_at
        drop(client)
      when PING then send(client, PONG, payload) unless client.cut_at
      when TEXT then send(client, TEXT, payload) unless client.cut_at
      end
    end

    def send(client, opcode, payload)
      client.io.write(Frames.head(opcode, payload.bytesize) << payload)
    end

    def see_off
      @clients.values.each do |client|
        client.closes_at ||= now + rand(LEAVE)
        if client.cut_at then drop(client) if now >= client.cut_at
        elsif now >= client.closes_at
          client.cut_at = now + CLOSE_TIMEOUT
          send(client, CLOSE, [GOING_AWAY].pack("n"))
        end
      rescue SystemCallError, IOError
        drop(client)
      end
    end

    def drop(client)
      @clients.delete(client.io)
      client.io.close
    end
  end
end
