# frozen_string_literal: true

# A response as a client of the rollout reads it: its status, its headers by lower-case name, its body.
module Rollout
  Response = Struct.new(:status, :headers, :body) do
    # From the bytes of a head; nil when they are none.
    def self.parse(head)
      status_line, *lines = head.strip.lines(chomp: true)
      status = status_line.to_s[%r{\AHTTP/1\.[01] (\d{3})\b}, 1] or return
      new(status.to_i, lines.to_h { |line| line.split(/:\s*/, 2).then { |name, value| [name.downcase, value.to_s] } })
    end

    # Whether the server says that it is the last one on this connection.
    def last? = headers["connection"]&.downcase == "close"

    # Whether another follows: 100 and 103, not 101.
    def interim? = status < 200 && status != 101

    def chunked? = headers["transfer-encoding"]&.downcase == "chunked"

    # The bytes of its body; nil when the head does not say.
    def length = headers["content-length"]&.to_i
  end
end
