# frozen_string_literal: true

require "digest"

# What both sides of a WebSocket know (RFC 6455): short messages, no fragments, no extensions.
module Rollout
  module Frames
    GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

    module_function

    # The server's answer to a client's key.
    def accept(key) = Digest::SHA1.base64digest(key + GUID)

    # The head of a whole message; +mask+ is 0x80 where a mask follows, as a client's has it.
    def head(opcode, length, mask: 0)
      length < 126 ? [0x80 | opcode, mask | length].pack("CC") : [0x80 | opcode, mask | 126, length].pack("CCn")
    end

    # Masks, and takes the mask away again.
    def mask(payload, key)
      payload.bytes.each_with_index.map { |byte, index| byte ^ key.getbyte(index & 3) }.pack("C*")
    end
  end
end
