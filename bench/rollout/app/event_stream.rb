# frozen_string_literal: true

# The body of an endless response: an event now and then, numbered on from what the client had last.
# Once the server drains, the stream ends in order a moment later, so that the client connects elsewhere; a server that
# does not say so never sees it end.
module Rollout
  class EventStream
    PAUSE = 0.2

    # Seconds after the drain was seen. Spread, so that the clients do not all come back at once.
    LEAVE = (0.5..2.5)

    # `draining` is what the server has in env["tidegate.draining"]; nil where it has nothing.
    def initialize(last_id, draining)
      @id = last_id.to_i
      @draining = draining || -> { false }
    end

    def each
      ends_at = nil
      until ends_at && now >= ends_at
        @id += 1
        yield "id: #{@id}\ndata: tick #{@id}\n\n"
        sleep(PAUSE)
        ends_at ||= now + rand(LEAVE) if @draining.call
      end
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
