# frozen_string_literal: true

# Server-sent events. `?wait=` seconds between two, `?count=` how many.
class TicksController < ApplicationController
  include ActionController::Live

  def show
    response.headers["content-type"] = "text/event-stream"
    response.headers["last-modified"] = Time.now.httpdate
    events = ActionController::Live::SSE.new(response.stream)
    count = params.fetch(:count, 5).to_i
    count.times do |number|
      events.write({ tick: number })
      sleep params.fetch(:wait, 1).to_f unless number == count - 1
    end
  rescue ActionController::Live::ClientDisconnected
    logger.info("the client has gone")
  ensure
    events&.close
  end
end
