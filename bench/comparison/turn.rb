# frozen_string_literal: true

# What one turn of one server measured. Samples by the name of the client; CPU in microseconds per request, memory in MiB (before any load,
# after it, some time later, and at most), context switches per request (all, and those of threads that waited), idle_kib the memory that an
# idle connection adds, p99_without the p99 of the first clients before the others came.
module Comparison
  Turn = Struct.new(:server, :round, :samples, :cpu, :fresh, :pss, :settled, :peak, :switches, :voluntary, :idle_kib, :idle_closed, :p99_without,
                    keyword_init: true) do
    # A number by its name: "cpu" of the turn, or "all.p99" of one kind of client.
    def value(name)
      client, number = name.split(".")
      return samples.fetch(client)[number] if number
      return growth if name == "p99_growth"
      return left if name == "left"

      self[name]
    end

    def errors = samples.values.sum(&:errors)

    # How much of the memory that the load took is still there when it has settled: 0 is none.
    def left = settled && peak > fresh ? [settled - fresh, 0].max / (peak - fresh) : nil

    # How much worse the first clients' p99 is beside the others.
    def growth = p99_without&.positive? ? samples.values.first.p99 / p99_without : nil

    def to_h = super.merge(samples: samples.transform_values(&:to_h))
  end
end
