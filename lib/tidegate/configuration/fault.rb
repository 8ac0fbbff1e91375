# frozen_string_literal: true

# Says in one line where in the user's own files an exception came from: the user wants the line that they wrote, not the
# one in a gem below it.

module Tidegate
  module Fault
    # Our own files. Frames from there down are how the file came to be evaluated, and not what is wrong with it.
    OURS = "#{File.expand_path("..", __dir__)}/"

    module_function

    # One line for +error+, which was raised while +file+ was evaluated.
    #
    #   Fault.describe(error, "config.ru")  # => "app.rb:3: undefined method `foo' for nil (NoMethodError)"
    def describe(error, file, root: Dir.pwd)
      place, reason = error.is_a?(SyntaxError) ? syntax(error) : [origin(error, file, root), error.message]
      place = place ? "#{relative(place, root)}: " : ""
      "#{place}#{first_line(reason) || "no message"} (#{error.class})"
    end

    # +path+ as a user in the directory +root+ would write it.
    def relative(path, root = Dir.pwd)
      path.delete_prefix("#{root}/")
    end

    # What the system says about a failed call, without the name of the C function that Ruby adds.
    def reason(error) = error.message.sub(/ @ \w+/, "")

    # "file:line" of the innermost frame in +file+ or in a file of the application; nil when only gems were at work. A method of ours
    # that the file called, and that called a gem, does not hide it.
    def origin(error, file, root)
      roots = [root, File.dirname(file)]
      places = ->(frames) { frames.map { |frame| [frame.absolute_path || frame.path.to_s, frame.lineno] } }
      place = places[theirs(error)].find { |path, _| path == file || own?(path, roots) }
      (place || places[error.backtrace_locations.to_a].find { |path, _| path == file })&.join(":")
    end

    # The frames above ours, apart from a method of ours that they called.
    def theirs(error)
      ours = ->(frame) { frame.path.to_s.start_with?(OURS) }
      error.backtrace_locations.to_a.drop_while(&ours).take_while { |frame| !ours.call(frame) }
    end

    # A syntax error names its place only in its message: "file:3: syntax error, unexpected ...", or, from Prism,
    # "file:3: syntax error found" with the reason below, beside a caret.
    def syntax(error)
      match = /\A(?<place>.+?:\d+): (?<first>.*)/.match(error.message) or return [nil, error.message]
      [match[:place], error.message[/\^[~^]* *([^\s~^].*)$/, 1] || match[:first]]
    end

    def own?(path, roots)
      below?(path, roots) && !below?(path, [*Gem.path, RbConfig::CONFIG["rubylibprefix"]])
    end

    def below?(path, directories) = directories.any? { |directory| path.start_with?("#{directory}/") }

    def first_line(text) = text.scrub.each_line.map(&:strip).find { |line| !line.empty? }

    private_class_method :origin, :theirs, :syntax, :own?, :below?, :first_line
  end
end
