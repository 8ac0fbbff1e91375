# frozen_string_literal: true

# The workers that there are, and those that there are to be: decides which worker is started, replaced and sent away next. Starts
# and ends no process.

module Tidegate
  class Roster
    include Enumerable

    # +strategy+ says which worker leaves when there are to be fewer: :youngest or :oldest. There are never more indices than +most+.
    def initialize(count, strategy: :youngest, most: nil)
      @indices = (0...count).to_a
      @strategy = strategy
      @most = most
      @workers = []
    end

    # The indices of the workers that there are to be.
    attr_reader :indices

    def each(&) = @workers.each(&)

    def add(worker) = @workers << worker

    def delete(worker) = @workers.delete(worker)

    def size = @workers.size

    # One worker more. False if there may be no more.
    def grow
      return false if @most && @indices.size >= @most

      @indices << ((0..).find { |index| !@indices.include?(index) })
    end

    # One worker less. False if it would be the last.
    def shrink
      return false if @indices.size <= 1

      @indices.delete(leaving.index)
    end

    # The indices that have no worker, and get none from a replacement that boots.
    def missing = @indices.reject { |index| staying.any? { |worker| worker.index == index } }

    # The workers that serve and are not to be there any more.
    def surplus = select { |worker| worker.serving? && !@indices.include?(worker.index) }

    # The next worker to be replaced; nil if none is, or enough are being replaced at the moment: one boots at a time, and at most half of
    # the workers are on their way out.
    def next_to_replace
      return if any?(&:booting?) || 2 * count(&:retiring?) > @indices.size

      find { |worker| worker.serving? && worker.replace_for && !worker.killed? && @indices.include?(worker.index) }
    end

    # Has all that serve or boot replaced, one after the other.
    def replace_all(reason) = staying.each { |worker| worker.replace_for = reason }

    # Replaces nothing any more.
    def give_up_replacing = each { |worker| worker.replace_for = nil }

    # The workers that do not leave.
    def staying = select { |worker| worker.serving? || worker.booting? }

    private

    # Of the workers, that which leaves first.
    def leaving
      candidates = staying.select { |worker| @indices.include?(worker.index) }
      candidates.sort_by! { |worker| [worker.booting? ? 0 : 1, @strategy == :oldest ? -worker.age : worker.age] }
      candidates.first || Struct.new(:index).new(@indices.max)
    end
  end
end
