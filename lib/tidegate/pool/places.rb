# frozen_string_literal: true

# The numbers of a pool's workers, from one to the highest, and which of them are free. To find one takes no longer where there
# are ten thousand. Not for several threads at once.

module Tidegate
  class Places
    # The block says whether the worker of a number lives.
    def initialize(max, &lives)
      @max = max
      @lives = lives
      @given = 0 # the numbers up to this one were given out at least once
      @free = []
    end

    # A free number, or nil.
    def take
      return @free.pop unless @free.empty?
      return @given += 1 if @given < @max

      # A worker that was killed before it could begin, or whose starter was, has given nothing back.
      @free = (1..@max).reject(&@lives)
      @free.pop
    end

    def give_back(number)
      @free << number
    end
  end
end
