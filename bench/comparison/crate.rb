# frozen_string_literal: true

require "open3"
require_relative "../support/servers"

# The Rust programs of the bench, each a crate of its own under bench/, built when it is first needed.
module Comparison
  module Crate
    # Builds the crate `name` in the directory `target`, with these environment variables; the path of its program, tidegate-NAME.
    def self.build(name, profile:, target:, **env)
      output, status = Open3.capture2e({ "CARGO_TARGET_DIR" => target, **env.transform_keys(&:to_s) }, "cargo", "build", "--profile", profile,
                                       "--locked", "--quiet", chdir: File.join(Rig::ROOT, "bench", name))
      raise Rig::Unavailable, "bench/#{name} does not build: #{output.lines.grep(/error/).first || output}" unless status.success?

      File.join(target, profile == "dev" ? "debug" : profile, "tidegate-#{name}")
    rescue Errno::ENOENT
      raise Rig::Missing, "cargo is not here, which builds bench/#{name}"
    end
  end
end
