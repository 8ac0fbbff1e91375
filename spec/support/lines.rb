# frozen_string_literal: true

# Text as it comes, line by line, with a way to wait for a line. It can stand in for $stderr.

class Lines
  # +name+ says in messages where the lines come from.
  def initialize(name)
    @name = name
    @text = +""
    @lock = Mutex.new
    @more = ConditionVariable.new
  end

  # Takes in text, as IO#write.
  def write(*texts)
    @lock.synchronize do
      texts.each { |text| @text << text.to_s.dup.force_encoding(Encoding::UTF_8).scrub }
      @more.broadcast
    end
    texts.sum { |text| text.to_s.bytesize }
  end

  def puts(*lines)
    write(*(lines.empty? ? [""] : lines.flatten).map { |line| line.to_s.end_with?("\n") ? line.to_s : "#{line}\n" })
    nil
  end

  def <<(text)
    write(text)
    self
  end

  def flush = self

  def sync = true

  # Nothing more will come: to wait for a line would be in vain.
  def close
    @lock.synchronize do
      @closed = true
      @more.broadcast
    end
  end

  def to_s = @lock.synchronize { @text.dup }

  def to_a = to_s.lines(chomp: true)

  # Waits for a whole line that matches, and returns its MatchData.
  def wait_for(pattern)
    what = "a line like #{pattern.inspect} from #{@name}"
    deadline = Patience::Deadline.new(what)
    @lock.synchronize do
      loop do
        found = match(pattern)
        return found if found
        raise "#{@name} ended without #{what}; its output was:\n#{@text}" if @closed

        @more.wait(@lock, deadline.left)
      end
    end
  end

  private

  def match(pattern)
    @text.each_line do |line|
      found = line.end_with?("\n") && pattern.match(line.chomp)
      return found if found
    end
    nil
  end
end
