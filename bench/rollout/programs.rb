# frozen_string_literal: true

require_relative "../support/child"

# The programs that data planes are made of, also where a user's PATH does not look for them.
module Rollout
  module Programs
    DIRS = %w[/usr/sbin /sbin /usr/local/sbin].freeze

    # What brings them, in Debian's words.
    PACKAGES = { "haproxy" => "haproxy", "nginx" => "nginx-light", "nft" => "nftables" }.freeze

    # The whole path of that program.
    def self.find(name)
      dirs = ENV.fetch("PATH", "").split(":") + DIRS
      dirs.map { |dir| File.join(dir, name) }.find { |path| File.executable?(path) } or
        raise Rig::Missing, "#{name} is not here: install the package #{PACKAGES.fetch(name)}"
    end
  end
end
