# frozen_string_literal: true

# Loads the extension, which defines Tidegate::Native. A precompiled gem has one in a directory for each Ruby version; a gem
# that was compiled here has only one.

begin
  require "tidegate/#{RUBY_VERSION[/\A\d+\.\d+/]}/tidegate"
rescue LoadError => versioned
  # The error has another path if the library is there and cannot be loaded: its message says why.
  raise unless versioned.path == "tidegate/#{RUBY_VERSION[/\A\d+\.\d+/]}/tidegate"

  begin
    require "tidegate/tidegate"
  rescue LoadError => plain
    raise unless plain.path == "tidegate/tidegate"

    raise Tidegate::Error, "the compiled part of Tidegate is missing for Ruby #{RUBY_VERSION}: " \
                           "reinstall the gem, or run `rake compile` in a working copy"
  end
end
