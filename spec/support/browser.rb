# frozen_string_literal: true

# Chromium without a window, steered over a pipe (the DevTools protocol): opens one page, looks into it, and hears what the page
# complains about.

require "fileutils"
require "json"
require "tmpdir"

class Browser
  # Its names in Debian, Ubuntu and Fedora, and Google's own.
  NAMES = %w[chromium chromium-browser google-chrome].freeze

  # As root it has to go without its sandbox; a container's /dev/shm is too small for it. The certificates of specs are no authority's.
  FLAGS = %w[--headless --ignore-certificate-errors --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking
             --disable-component-update --disable-extensions --remote-debugging-pipe].freeze

  class Failed < StandardError; end

  # The path of the program; nil where it is not installed.
  def self.program
    NAMES.product(ENV["PATH"].split(File::PATH_SEPARATOR)).map { |name, directory| File.join(directory, name) }
         .find { |path| File.file?(path) && File.executable?(path) }
  end

  # What the page has complained about: exceptions, and what a policy has refused.
  attr_reader :complaints

  def initialize
    @last_id = 0
    @profile = Dir.mktmpdir("tidegate-browser")
    start
  end

  # Makes an empty page in the place of the one before.
  def begin_page(width: 1000, height: 900)
    @session = nil
    command("Target.closeTarget", targetId: @target) if @target
    @complaints = []
    @target = command("Target.createTarget", url: "about:blank").fetch("targetId")
    @session = command("Target.attachToTarget", targetId: @target, flatten: true).fetch("sessionId")
    %w[Page.enable Runtime.enable Log.enable].each { |name| command(name) }
    resize(width, height)
    self
  end

  def resize(width, height, mobile: false)
    command("Emulation.setDeviceMetricsOverride", width:, height:, deviceScaleFactor: 1, mobile:)
  end

  # +scheme+ is "light" or "dark".
  def prefer(scheme)
    command("Emulation.setEmulatedMedia", features: [{ name: "prefers-color-scheme", value: scheme }])
  end

  def open(url)
    answer = command("Page.navigate", url:)
    raise Failed, answer["errorText"] if answer["errorText"]

    Patience.until_true("the page to be loaded") { evaluate("document.readyState") == "complete" }
  end

  # The value of an expression in the page.
  def evaluate(expression)
    answer = command("Runtime.evaluate", expression:, returnByValue: true, awaitPromise: true)
    raise Failed, answer["exceptionDetails"].to_s if answer["exceptionDetails"]

    answer.dig("result", "value")
  end

  # What stands in the first element of that selector, as a reader sees it.
  def text(selector) = evaluate("document.querySelector(#{JSON.generate(selector)}).innerText")

  # Waits until an expression in the page is true.
  def wait_for(expression) = Patience.until_true("#{expression} in the page") { evaluate(expression) }

  # The page as it is, as the bytes of a PNG.
  def screenshot = command("Page.captureScreenshot", format: "png").fetch("data").unpack1("m")

  def close
    Process.kill(:KILL, @pid)
    Process.wait(@pid)
    [@commands, @answers].each(&:close)
  ensure
    FileUtils.rm_rf(@profile)
  end

  private

  def start
    commands, @commands = IO.pipe
    @answers, answers = IO.pipe
    # Ruby's own are non-blocking, which a browser takes for their end.
    require "io/nonblock" # which not every Ruby has that loads this
    [commands, answers].each { |pipe| pipe.nonblock = false }
    @pid = Process.spawn(self.class.program, *FLAGS, "--user-data-dir=#{@profile}", 3 => commands, 4 => answers, in: File::NULL,
                                                                                   out: File::NULL, err: File::NULL)
    [commands, answers].each(&:close)
  end

  # One command and its answer; what comes before that is taken note of.
  def command(method, **params)
    id = @last_id += 1
    @commands.write(JSON.generate({ id:, method:, params:, sessionId: @session }.compact), "\0")
    loop do
      message = read
      next hear(message) unless message["id"] == id
      raise Failed, "#{method}: #{message["error"]}" if message["error"]

      return message.fetch("result")
    end
  end

  def read
    raise Patience::Over, "the browser's answer" unless @answers.wait_readable(Patience::SECONDS)

    line = @answers.gets("\0") or raise Failed, "the browser has ended"
    JSON.parse(line.chomp("\0"))
  end

  def hear(message)
    # What the page before this one has had to say may come late.
    return unless message["sessionId"] == @session

    params = message["params"] || {}
    case message["method"]
    when "Runtime.exceptionThrown" then @complaints << params.dig("exceptionDetails", "exception", "description").to_s
    when "Log.entryAdded" then @complaints << params.dig("entry", "text") if params.dig("entry", "level") == "error"
    end
  end
end
