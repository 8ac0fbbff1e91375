# frozen_string_literal: true

require "securerandom"
require_relative "connection"
require_relative "frames"

# The client's side of a WebSocket (RFC 6455) on a Connection: short messages, no fragments, no extensions.
module Rollout
  class WebSocket
    include Frames # its opcodes

    LONGEST = 65_535

    Frame = Struct.new(:opcode, :payload) do
      def close? = opcode == CLOSE

      # The status of a Close; 1005, as the RFC has it, for one without.
      def status = payload.unpack1("n") || 1005
    end

    # Opens one on a connection. A 5xx fails by its number; any other answer than the right 101 is "not upgraded".
    def self.open(connection, path, within:)
      key = SecureRandom.base64(16)
      connection.limit = within
      connection.send_head("GET", path, "connection" => "Upgrade", "upgrade" => "websocket",
                                        "sec-websocket-version" => "13", "sec-websocket-key" => key)
      answer = connection.read_head
      raise Failed, answer.status.to_s if answer.status >= 500
      raise Failed, "not upgraded" unless answer.status == 101 && answer.headers["sec-websocket-accept"] == Frames.accept(key)

      new(connection)
    end

    def initialize(connection)
      @connection = connection
    end

    # Sends one frame, masked as a client's are. What cannot be sent shows when the next frame is read.
    def send(payload, opcode: TEXT)
      key = SecureRandom.bytes(4)
      @connection.write(Frames.head(opcode, payload.bytesize, mask: 0x80) << key << Frames.mask(payload, key))
    end

    # The next message or Close, before `within` seconds are over.
    def message(within:)
      limit = Process.clock_gettime(Process::CLOCK_MONOTONIC) + within
      loop do
        came = frame(within: limit - Process.clock_gettime(Process::CLOCK_MONOTONIC))
        return came unless [PING, PONG].include?(came.opcode)
      end
    end

    # The next frame of any sort. A ping is answered.
    def frame(within:)
      @connection.limit = within
      read_frame.tap { |came| send(came.payload, opcode: PONG) if came.opcode == PING }
    end

    def input?(seconds) = @connection.input?(seconds)

    # Answers a Close with its own status, and waits for the server to end the connection, as the RFC wants it.
    def answer_close(frame, within:)
      send(frame.payload.byteslice(0, 2), opcode: CLOSE)
      message(within:)
    rescue Failed
      nil
    end

    def close = @connection.close

    private

    # An end that no Close announced is abnormal, whether it came between two frames or inside one.
    def read_frame
      first, second = @connection.read_bytes(2).unpack("CC")
      raise Failed, "malformed" unless first & 0xF0 == 0x80 && second <= 126

      length = second == 126 ? @connection.read_bytes(2).unpack1("n") : second
      Frame.new(first & 0x0F, @connection.read_bytes(length))
    rescue Failed => error
      raise error if %w[timeout malformed].include?(error.kind)

      raise Failed, "abnormal close"
    end
  end
end
