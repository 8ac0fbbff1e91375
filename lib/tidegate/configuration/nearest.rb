# frozen_string_literal: true

# The valid name that a mistyped one was probably meant to be.

require "did_you_mean/spell_checker" # the checker alone: the rest of that library extends NameError

module Tidegate
  module Nearest
    # The name in +valid+ that is spelled most like +name+, or nil when none comes close.
    #
    #   Nearest.to("prot", %w[port host])  # => "port"
    def self.to(name, valid)
      DidYouMean::SpellChecker.new(dictionary: valid.map(&:to_s)).correct(name.to_s).first
    end

    # The end of a sentence about an unknown name: which one was meant, or where the names are listed.
    def self.hint(name, valid)
      nearest = to(name, valid)
      nearest ? "did you mean #{nearest}?" : "`tidegate --help` lists the options"
    end
  end
end
