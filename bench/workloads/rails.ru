# frozen_string_literal: true

# The front page of examples/rails in production, with twenty notes: routing, session, a query, two templates, a form with
# its token. Each server has a database of its own, which goes with the process that has loaded the app, not with a worker.

require "fileutils"
require "tmpdir"

directory = Dir.mktmpdir("tidegate-bench")
loader = Process.pid
at_exit { FileUtils.rm_rf(directory) if Process.pid == loader }
ENV.update("RAILS_ENV" => "production", "DATABASE" => File.join(directory, "notes.sqlite3"))

require_relative "../../examples/rails/config/environment"
20.times { |number| Note.create!(text: "Note #{number} of twenty") }

run Rails.application
