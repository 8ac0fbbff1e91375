# frozen_string_literal: true

# The page of the admin listener, in a real browser.

RSpec.describe "the page of the admin listener", :browser, :processes do
  let(:endless) { 600 }
  let(:token) { "0123456789abcdef" }

  def open_page(*arguments, **)
    server = serve("drain.ru", "--admin", "tcp://127.0.0.1:0", *arguments, **)
    browser.open("#{server.admin}/")
    browser.wait_for(%(document.querySelector("#phase").textContent !== "asking the server"))
    server
  end

  def shown(id) = browser.text("##{id}")

  it "shows the server's phase, its workers and its settings with where each was made" do
    server = open_page(env: { "TIDEGATE_MAX_QUEUE" => "77", "TIDEGATE_ADMIN_TOKEN" => token })
    browser.wait_for("document.querySelectorAll('#settings tbody tr').length > 0")

    expect(shown("version")).to eq(Tidegate::VERSION)
    expect(shown("phase")).to eq("ready")
    expect(shown("workers")).to match(%r{ready\s+0/32\s+0\s+0\s})
    expect(shown("settings")).to match(/^max_queue\s+77\s+environment variable TIDEGATE_MAX_QUEUE\s/)
    expect(shown("settings")).to match(/^admin_token\s+\(secret\)\s/)
    expect(shown("settings")).not_to include("head_timeout")
    browser.evaluate("document.querySelector('#all').click()")
    expect(shown("settings")).to match(/^head_timeout\s+30\s+default\s/)
    expect(browser.evaluate("document.documentElement.outerHTML")).not_to include(token)
    expect(browser.complaints).to eq([])
    expect(server.output).not_to include("refused")
  end

  it "goes on by itself: what is counted is drawn, and a drain is shown with the time that is left" do
    server = open_page("--drain-delay", endless, "--termination-grace", 3600)
    server.get("/")
    browser.wait_for("/\\b1\\b/.test(document.querySelector('#workers tbody').innerText)")
    browser.wait_for("document.querySelectorAll('#charts polyline').length === 4")
    browser.wait_for("document.querySelector('#charts polyline').getAttribute('points')?.split(' ').length > 2")
    server.signal(:TERM)
    browser.wait_for("document.querySelector('#phase').textContent === 'draining'")

    expect(shown("left")).to match(/\A(\d{3}(\.\d)?) s left\z/)
    expect(shown("plan")).to start_with("The server goes on serving everything for 600 s, then has up to ")
    expect(browser.complaints).to eq([])
  end

  it "says that the server is gone, and keeps what it knew" do
    server = open_page
    server.signal(:TERM)
    server.wait_exit
    browser.wait_for("!document.querySelector('#notice').hidden")

    expect(shown("notice")).to match(/\ASince .*: the server does not answer\. What is below is from before/)
    expect(shown("version")).to eq(Tidegate::VERSION)
  end

  it "puts in no markup that comes from the server" do
    markup = "<img src=x onerror=\"document.title='taken over'\">"
    open_page("--tag", markup)
    browser.wait_for("document.querySelectorAll('#settings tbody tr').length > 0")

    expect(shown("settings")).to include(markup)
    expect(browser.evaluate("document.images.length")).to eq(0)
    expect(browser.evaluate("document.title")).to eq("ready - Tidegate")
  end

  it "runs no script but its own, and sends nothing elsewhere" do
    open_page
    browser.evaluate("const script = document.createElement('script'); script.textContent = 'window.injected = true'; document.body.append(script)")

    expect(browser.evaluate("window.injected === undefined")).to be(true)
    expect(browser.evaluate("fetch('http://127.0.0.2:9/').then(() => 'sent', (error) => error.name)")).to eq("TypeError")
    expect(browser.complaints.join).to include("Content Security Policy")
  end

  it "asks nothing while it is hidden" do
    open_page
    browser.evaluate(<<~JAVASCRIPT)
      window.asked = 0;
      const asking = window.fetch;
      window.fetch = (...words) => { window.asked += 1; return asking(...words); };
      Object.defineProperty(document, "hidden", { value: true, configurable: true });
      true
    JAVASCRIPT
    browser.wait_for("!running")
    asked = browser.evaluate("window.asked")
    browser.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(browser.evaluate("running")).to be(false)
    browser.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait_for("window.asked > #{asked}")
  end

  it "fits on a phone, and is dark where the reader's system is" do
    open_page
    browser.resize(360, 700, mobile: true)
    expect(browser.evaluate("document.documentElement.scrollWidth")).to be <= 360
    colours = %w[light dark].map do |scheme|
      browser.prefer(scheme)
      browser.evaluate("getComputedStyle(document.body).backgroundColor")
    end
    expect(colours).to eq(["rgb(251, 251, 249)", "rgb(18, 22, 20)"])
  end
end
