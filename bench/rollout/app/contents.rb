# frozen_string_literal: true

require "digest"

# What the app of the rollout answers, known to its clients too.
module Rollout
  module Contents
    HELLO = "hello\n"
    SLOW = "slow\n"
    PARTS = (1..10).map { |n| "part #{n}\n".freeze }.freeze
    LARGE = Random.new(20).bytes(2_000_000).freeze
    LARGE_DIGEST = Digest::SHA256.digest(LARGE)

    BY_PATH = { "/" => HELLO, "/slow" => SLOW, "/stream" => PARTS.join, "/large" => LARGE }.freeze
  end
end
