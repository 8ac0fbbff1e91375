# frozen_string_literal: true

# Has all workers of a cluster replaced, in one of the ways that there are, time and again.

module Chaos
  class Replacing
    # Seconds that it may take until all are replaced.
    LIMIT = 120

    # What the server is started with.
    ARGUMENTS = {
      "phased" => ["--no-preload"], "hot" => [], "refork" => [], "max_memory" => ["--max-memory", "250M"],
      "max_requests" => ["--max-requests", "300", "--max-requests-jitter", "200"]
    }.freeze

    SIGNALS = { "phased" => :USR1, "hot" => :USR2, "refork" => :URG }.freeze

    def initialize(cluster, how, random)
      @cluster = cluster
      @how = how
      @random = random
    end

    # Yields each time when all have been replaced.
    def run(times)
      before = @cluster.complete
      times.times do
        sleep(@random.rand(1.0))
        @cluster.signal(SIGNALS[@how]) if SIGNALS[@how]
        before = all_replaced(before)
        yield
      end
    end

    private

    # A worker that only grows when it is asked to is asked.
    def all_replaced(before)
      return @cluster.complete(within: LIMIT, except: before) unless @how.start_with?("max")

      @cluster.await("all workers to be replaced", within: LIMIT) do
        @cluster.get("/grow") if @how == "max_memory"
        now = @cluster.serving
        now if (now & before).empty? && now.size >= @cluster.workers
      end
    end
  end
end
