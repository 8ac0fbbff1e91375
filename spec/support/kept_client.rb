# frozen_string_literal: true

# A client that keeps its connection, and takes a new one when the server has said that it closes the old: a worker that leaves says so
# where its siblings are too busy to take its connections.
class KeptClient
  def initialize(address)
    @address = address
  end

  # The connection for the next request.
  def wire = @wire ||= Wire.open(@address)

  def get(target)
    response = wire.get(target)
    close if response.close?
    response
  end

  def close
    @wire&.close
    @wire = nil
  end
end
