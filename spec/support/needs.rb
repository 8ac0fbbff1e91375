# frozen_string_literal: true

# What this machine lacks makes an example pending, and never in CI, where everything has to be there that can be.

# For specs of the rig in bench/.
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

# For what was a part of Ruby, and is a gem of its own from some release on: fiddle and logger from 4.0.
module NeedsGem
  def needs_gem(name)
    return if Gem::Specification.find_all_by_name(name).any?

    ENV["CI"] == "true" ? raise("the gem #{name} is not here") : skip("the gem #{name} is not here")
  end
end

RSpec.configure do |config|
  config.include Needs, :needs
  config.include NeedsGem
end
