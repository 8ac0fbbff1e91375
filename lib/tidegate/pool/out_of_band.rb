# frozen_string_literal: true

# The hooks out_of_band, which do work between requests (a garbage collection, for example): a thread runs them when a request
# has ended and no other waits or runs. Requests that come meanwhile wait until they have returned, as under Puma.

module Tidegate
  class OutOfBand
    # +blocks+ are callables; the exception of one is logged.
    def initialize(blocks, log)
      @hooks = Hooks.new(:out_of_band, blocks, log)
      @log = log
    end

    # +native+, the Native::Server, says when there is nothing else to do.
    def start(native)
      @thread = KeptThread.new("tidegate out of band", @log) { @hooks.run while native.next_idle }.start
      self
    end

    # Waits for a hook that runs when the server has stopped, for up to +seconds+, and then ends it.
    def finish(seconds)
      @thread.join(seconds) || @thread.kill
    end
  end
end
