# frozen_string_literal: true

# Loads the compiled part, which defines Tidegate::Native: from the directory of this Ruby version, where a
# precompiled gem has one for each, otherwise the only one there is.

begin
  require "tidegate/#{RUBY_VERSION[/\A\d+\.\d+/]}/tidegate"
rescue LoadError => versioned
  # A library that is there but cannot be loaded has another path, and a message worth reading.
  raise unless versioned.path == "tidegate/#{RUBY_VERSION[/\A\d+\.\d+/]}/tidegate"

  begin
    require "tidegate/tidegate"
  rescue LoadError => plain
    raise unless plain.path == "tidegate/tidegate"

    raise Tidegate::Error, "the compiled part of Tidegate is missing for Ruby #{RUBY_VERSION}: " \
                           "reinstall the gem, or run `rake compile` in a working copy"
  end
end
