# frozen_string_literal: true

# Requests and failures by their time before or after the nearest TERM, for the picture: how many ended in each tenth of
# a second. What has just ended is held back until no TERM can come that would be nearer, so its memory has a bound.
module Rollout
  class Timeline
    BEFORE = 5.0 # seconds before a TERM that are of interest
    AFTER = 20.0 # and after it
    PER_SECOND = 10

    # How many bins come before the TERM.
    FIRST = -(BEFORE * PER_SECOND).to_i
    LAST = (AFTER * PER_SECOND).to_i - 1

    # One bin: the seconds from the TERM to its beginning, and what ended in it.
    Bin = Struct.new(:at, :requests, :failures)

    # How many TERMs there were.
    attr_reader :terms

    def initialize
      @terms = 0
      @near = []
      @recent = []
      @latest = 0.0
      @requests = Hash.new(0)
      @failures = Hash.new(0)
    end

    # A pod was told to end.
    def term(at)
      @terms += 1
      @near << at
    end

    # A request ended.
    def add(at, failed:)
      @latest = at if at > @latest
      @recent << [at, failed]
      settle
    end

    # All bins, in order of time.
    def bins
      requests, failures = @requests.dup, @failures.dup
      @recent.each { |at, failed| put(at, failed, requests, failures) }
      (FIRST..LAST).map { |n| Bin.new(n / PER_SECOND.to_f, requests[n], failures[n]) }
    end

    private

    # Twice the time in which a TERM would be nearer: a request may be known a little before its TERM is.
    def settle
      certain = @latest - (2 * BEFORE)
      while @recent.any? && @recent.first.first < certain
        at, failed = @recent.shift
        put(at, failed, @requests, @failures)
      end
      @near.shift while @near.size > 1 && @near.first < certain - (2 * AFTER)
    end

    def put(at, failed, requests, failures)
      bin = @near.filter_map { |term| bin_of(at - term) }.min_by(&:abs) or return
      requests[bin] += 1
      failures[bin] += 1 if failed
    end

    def bin_of(seconds)
      bin = (seconds * PER_SECOND).floor
      bin if bin.between?(FIRST, LAST)
    end
  end
end
