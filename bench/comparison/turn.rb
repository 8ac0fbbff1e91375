# frozen_string_literal: true

# What one turn of one server measured. Samples by the name of the client; CPU in microseconds per request, memory in MiB,
# context switches per request, idle_kib the memory that an idle connection adds.
module Comparison
  Turn = Struct.new(:server, :round, :samples, :cpu, :pss, :peak, :switches, :idle_kib, :idle_closed, :p99_without, keyword_init: true) do
    # A number by its name: "cpu" of the turn, or "all.p99" of one kind of client.
    def value(name)
      client, number = name.split(".")
      return samples.fetch(client)[number] if number
      return growth if name == "p99_growth"

      self[name]
    end

    def errors = samples.values.sum(&:errors)

    # How much worse the busy connections' p99 is beside idle ones.
    def growth = p99_without&.positive? ? samples.values.first.p99 / p99_without : nil

    def to_h = super.merge(samples: samples.transform_values(&:to_h))
  end
end
