# frozen_string_literal: true

# For specs of the rig in bench/: what this machine lacks makes an example pending, and never in CI, where everything
# has to be there that can be.

module Needs
  # Runs the block, which says by Rig::Missing what is not here.
  def needing_programs
    yield
  rescue Rig::Missing => error
    raise if ENV["CI"] == "true"

    skip error.message
  end

  # The same where the block needs root, which CI may not be.
  def needing_root(&)
    return needing_programs(&) if Process.euid.zero?

    begin
      yield
    rescue Rig::Missing => error
      skip error.message
    end
  end
end

RSpec.configure { |config| config.include Needs, :needs }
