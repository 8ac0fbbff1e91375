# frozen_string_literal: true

# Examples that hold over HTTP/1 and over HTTP/2:
#
#   Protocols.describe("a response body", :in_process) do
#     it "is sent" do                     # with each, over the client that `connect` opens
#     it "has chunks", :http1 do          # only where it is about HTTP/1
#     it "has no chunks", :http2 do       # only where it is about HTTP/2

module Protocols
  CLIENTS = { http1: -> { Wire }, http2: -> { HTTP2Client } }.freeze

  def self.describe(what, *tags, **metadata, &examples)
    from = caller # for RSpec, which says where an example is
    RSpec.describe(what, *tags, caller: from, **metadata) do
      CLIENTS.each_key { |protocol| context("over #{protocol.to_s.sub("http", "HTTP/")}", over: protocol, caller: from, &examples) }
    end
  end

  # The class of the client that an example with this metadata uses.
  def self.client(metadata) = CLIENTS.fetch(metadata.fetch(:over, :http1)).call
end

RSpec.configure do |config|
  Protocols::CLIENTS.each_key do |protocol|
    config.filter_run_excluding(protocol => ->(only, metadata) { only && metadata.fetch(:over, protocol) != protocol })
  end
end
