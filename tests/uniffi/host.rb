# frozen_string_literal: true

# What the UniFFI host promises beyond the table of operations, in Ruby: agents and what they do
# wrong, events, tickets, life and death.

require 'json'
require 'minitest/autorun'
require 'open3'
require 'rbconfig'
require 'timeout'
require 'sutazai_kernel'

S = SutazaiKernel
Failed = S::KernelError::Failed

# Longest wait for something that does happen, in seconds.
PATIENCE = 60

# An agent that is a block.
class Does < S::Agent
  def initialize(&block)
    super()
    @block = block
  end

  def handle(task) = @block.call(task)
end

# As `Does`, each task on a thread of its own.
class DoesAsync < S::AsyncAgent
  def initialize(&block)
    super()
    @block = block
  end

  def handle(task) = @block.call(task)
end

# A factor of a login: two blocks.
class Badges < S::AuthProvider
  def initialize(challenge: ->(*) { '{}' }, &authenticate)
    super()
    @authenticate = authenticate
    @challenge = challenge
  end

  def authenticate(credential) = @authenticate.call(credential)
  def challenge(principal, login, now_ms) = @challenge.call(principal, login, now_ms)
end

# A monitor: a block.
class Measuring < S::HostMonitor
  def initialize(&sample)
    super()
    @sample = sample
  end

  def sample(now_ms) = @sample.call(now_ms)
end

class Hears < S::Listener
  def initialize(&block)
    super()
    @block = block
  end

  def event(event) = @block.call(event)
end

def patiently(&block) = Timeout.timeout(PATIENCE, &block)

class HostTest < Minitest::Test
  def setup
    @kernels = []
  end

  def teardown
    @kernels.each { |kernel| kernel.stop(0) }
    held = [S::CallbackInterfaceAgentFfiConverter, S::CallbackInterfaceAsyncAgentFfiConverter,
            S::CallbackInterfaceListenerFfiConverter, S::CallbackInterfaceAuthProviderFfiConverter]
    # A thread that was late for its kernel's end may hold on to one for a moment.
    patiently { Thread.pass until held.all? { |kind| kind.handle_map.size.zero? } }
  end

  def kernel(start: true, **config)
    kernel = S::Kernel.new(JSON.generate(config))
    @kernels << kernel
    kernel.start if start
    kernel
  end

  def card(name, **more) = JSON.generate(name: name, skills: [name], **more)

  def request(skill, input = nil, **more) = JSON.generate(skill: skill, input: input, **more)

  def invoke(kernel, operation, **request)
    JSON.parse(kernel.invoke(operation, JSON.generate(request)))
  end

  def call(kernel, skill, input = nil, **more)
    invoke(kernel, 'agent.call', skill: skill, input: input, **more)['output']
  end

  # The error that the block ends with.
  def failure(name = nil, &block)
    error = assert_raises(Failed, &block)
    assert_equal name, error.name if name
    error
  end

  # ---- factors of a login ----

  def test_a_login_begins_with_a_factor_of_ours
    kernel = kernel(start: false)
    badges = Badges.new do |credential|
      kind, owner = credential.secret.split(' of ')
      next JSON.generate(refused: 'not a badge of ours') unless kind == 'badge'

      JSON.generate(accepted: { principal: owner, attributes: { floor: '3' } })
    end
    kernel.add_auth_provider('badge', badges)
    failure('base.already_exists') { kernel.add_auth_provider('badge', badges) }
    kernel.start
    done = invoke(kernel, 'security.login', scheme: 'badge', secret: 'badge of ann')
    assert_equal %w[done ann 3], [done['step'], done['principal'], done['attributes']['floor']]
    refused = { 'step' => 'refused' }
    assert_equal refused, invoke(kernel, 'security.login', scheme: 'badge', secret: 'library card')
    assert_equal refused, invoke(kernel, 'security.login', scheme: 'badge', principal: 'ann', secret: 'badge of eve')
  end

  def test_what_is_no_answer_is_no_accept
    kernel = kernel()
    wrong = { 'raises' => -> { raise 'unplugged' }, 'empty' => -> { '' }, 'bytes' => -> { "\xff" },
              'list' => -> { '[]' }, 'true' => -> { 'true' }, 'half' => -> { '{"accepted": {}}' } }
    wrong.each do |scheme, act|
      kernel.add_auth_provider(scheme, Badges.new { |_| act.call })
      failure('security.provider_failed') { invoke(kernel, 'security.login', scheme: scheme, secret: 'x') }
    end
  end

  def test_it_is_a_second_factor_where_security_says_so
    kernel = kernel(security: { logins: { second: ['badge'] }, passwords: { memory_kib: 7168, passes: 5 } })
    enrolled = ->(principal, login, _) { principal == 'bob' ? 'null' : JSON.generate(hint: login) }
    kernel.add_auth_provider('badge', Badges.new(challenge: enrolled) { |it| JSON.generate(accepted: { principal: it.principal }) })
    answers = %w[ann bob].map do |who|
      invoke(kernel, 'security.password_set', principal: who, password: 'correct horse battery')
      invoke(kernel, 'security.login', scheme: 'password', principal: who, secret: 'correct horse battery')
    end
    assert_equal(%w[next done], answers.map { |it| it['step'] })
    login = answers[0]['login']
    assert_equal [{ 'scheme' => 'badge', 'parameters' => { 'hint' => login } }], answers[0]['offers']
    done = invoke(kernel, 'security.login_answer', login: login, scheme: 'badge', secret: 'x')
    assert_equal 'password badge', done['attributes']['amr']
  end

  def test_security_that_cannot_be_names_its_field
    error = failure('base.invalid') { kernel(security: { tokens: { access_ms: 5 } }) }
    assert_includes error.reason, 'tokens.access_ms'
  end

  # ---- monitors ----

  def test_what_a_monitor_of_ours_measures_is_part_of_a_sample
    kernel = kernel(start: false)
    length = 3.0
    kernel.add_monitor('queue', Measuring.new { JSON.generate(queue_length: length) })
    failure('base.already_exists') { kernel.add_monitor('queue', Measuring.new { '{}' }) }
    kernel.start
    assert_equal 3.0, invoke(kernel, 'monitor.sample')['values']['queue_length']
    length = 'many'
    assert_includes invoke(kernel, 'monitor.sample')['failures']['queue'], 'queue_length'
    kernel.add_monitor('broken', Measuring.new { raise 'unplugged' })
    assert_includes invoke(kernel, 'monitor.sample')['failures'].keys, 'broken'
    assert invoke(kernel, 'monitor.remove', monitor: 'queue')['removed']
  end

  # ---- agents ----

  def test_agents_answer
    kernel = kernel()
    kernel.add_agent(card('shout'), Does.new { |task| JSON.generate(JSON.parse(task.input).upcase) })
    kernel.add_async_agent(card('later'), DoesAsync.new(&:input))
    kernel.add_agent(card('inline', run: 'inline'), Does.new(&:input))
    assert_equal 'GRÜNE', call(kernel, 'shout', 'grüne')
    assert_equal({ 'a' => [nil, 1.5] }, call(kernel, 'later', { a: [nil, 1.5] }))
    assert_equal 7, call(kernel, 'inline', 7)
  end

  def test_a_task_says_what_is_asked
    kernel = kernel(limits: { timeout_ms: 0 })
    tasks = []
    kernel.add_agent(card('look'), Does.new { |task| tasks << task && 'null' })
    call(kernel, 'look', [1])
    call(kernel, 'look', nil, timeout_ms: 60_000)
    first, second = tasks
    assert_equal [1, 'look', '[1]', nil], [first.call, first.skill, first.input, first.left_ms]
    assert_equal [2, 'look', 'null'], [second.call, second.skill, second.input]
    assert_includes 1..60_000, second.left_ms
  end

  def test_calls_run_side_by_side
    kernel = kernel()
    # Each of the two waits for the other.
    here = Array.new(2) { Queue.new }
    meet = lambda do |task|
      me = Integer(task.input)
      here[1 - me] << true
      patiently { here[me].pop }
      task.input
    end
    kernel.add_agent(card('meet'), Does.new(&meet))
    assert_equal([0, 1], [0, 1].map { |me| Thread.new { call(kernel, 'meet', me) } }.map(&:value))
  end

  def test_an_error_passes_through_an_agent_that_calls_another
    kernel = kernel()
    own = { code: 0x8000_0005, name: '', error_class: S::ErrorClass::CRITICAL, reason: 'mine', details: '' }
    kernel.add_agent(card('inner'), Does.new { |_| raise Failed.new(**own) })
    kernel.add_agent(card('outer'), Does.new { |_| kernel.invoke('agent.call', request('inner')) })
    error = failure('host') { call(kernel, 'outer') }
    assert_equal [own[:code], own[:error_class], 'mine'], [error.code, error.error_class, error.reason]
  end

  # What an agent does, the error that its caller gets, and a word of it.
  WRONG = [
    [-> { raise 'no luck' }, 'agent.failed', 'no luck'],
    [-> { 1 / 0 }, 'agent.failed', 'ZeroDivisionError'],
    [-> { raise S.agent_failed('by design', false) }, 'agent.failed', 'persistent'],
    [-> { raise Failed.new(code: 999_999, name: 'x', error_class: 1, reason: 'odd', details: '') },
     'agent.failed', 'odd'],
    [-> { raise Failed.new(code: 'five', name: 1, error_class: 7, reason: nil, details: nil) },
     'agent.failed', ''],
    [-> { throw :nowhere }, 'agent.failed', 'nowhere'],
    [-> {}, 'agent.failed', 'nil'],
    [-> { 7 }, 'agent.failed', 'Integer'],
    [-> { 'seven' }, 'agent.bad_answer', 'not JSON'],
    [-> { "\"\xff\"" }, 'agent.bad_answer', 'UTF-8'],
    [-> { "\"\xff\"".b }, 'agent.failed', 'Encoding'],
    [-> { '' }, 'agent.bad_answer', 'without an answer'],
    # No StandardError: UniFFI does not catch these where an agent is waited for.
    [-> { raise NotImplementedError, 'some day' }, { Does => 'agent.bad_answer', DoesAsync => 'agent.failed' }, ''],
    [-> { exit 3 }, { Does => 'agent.bad_answer', DoesAsync => 'agent.failed' }, ''],
    [-> { (f = ->(n) { f.call(n + 1) }).call(0) }, { Does => 'agent.bad_answer', DoesAsync => 'agent.failed' }, '']
  ].freeze

  def test_what_an_agent_does_wrong_is_an_error
    WRONG.each_with_index do |(wrong, name, word), number|
      [[Does, 'pool'], [Does, 'inline'], [DoesAsync, 'pool']].each do |kind, run|
        kernel = kernel()
        agent = kind.new { |_| wrong.call }
        add = kind == Does ? :add_agent : :add_async_agent
        kernel.public_send(add, card('wrong', run: run), agent)
        error = failure { call(kernel, 'wrong') }
        which = "number #{number}, #{kind}, #{run}: #{error.details}"
        assert_equal name.is_a?(Hash) ? name[kind] : name, error.name, which
        assert_includes error.details, word, which
        kernel.stop(0)
      end
    end
  end

  def test_an_agent_that_is_none_is_an_error
    kernel = kernel()
    none = { 'nil' => nil, 'text' => 'an agent', 'object' => Object.new, 'unwritten' => S::Agent.new }
    none.each do |name, agent|
      kernel.add_agent(card(name), agent)
      failure(agent ? 'agent.failed' : 'agent.bad_answer') { call(kernel, name) }
    end
  end

  def test_a_card_is_checked_and_its_agent_let_go_of
    kernel = kernel()
    kernel.add_agent(card('one'), Does.new(&:input))
    { '' => 'base.invalid', '{"name": 1}' => 'base.invalid', card('one') => 'base.already_exists' }
      .each { |card, name| failure(name) { kernel.add_agent(card, Does.new(&:input)) } }
    assert_equal 1, S::CallbackInterfaceAgentFfiConverter.handle_map.size
    assert_equal({ 'removed' => true }, invoke(kernel, 'agent.remove', name: 'one'))
    assert_equal 0, S::CallbackInterfaceAgentFfiConverter.handle_map.size
  end

  # ---- tickets ----

  def test_a_ticket_gives_its_answer_once
    kernel = kernel()
    [:take, :answer].each do |first|
      ticket = kernel.submit('event.matches', '{"pattern": "a.*", "subject": "a.b"}')
      assert_equal '{"matches":true}', ticket.public_send(first)
      %i[take answer].each { |again| failure('base.taken') { ticket.public_send(again) } }
    end
  end

  def test_cancelling_reaches_an_async_agent
    kernel = kernel()
    began = Queue.new
    ended = Queue.new
    kernel.add_async_agent(card('hang'), DoesAsync.new do |_|
      began << true
      sleep
    ensure
      ended << true
    end)
    ticket = kernel.submit('agent.call', request('hang'))
    patiently { began.pop }
    ticket.cancel
    failure('base.cancelled') { patiently { ticket.answer } }
    patiently { ended.pop }
  end

  def test_an_interrupted_call_is_cancelled
    kernel = kernel()
    began = Queue.new
    ended = Queue.new
    kernel.add_async_agent(card('hang'), DoesAsync.new do |_|
      began << true
      sleep
    ensure
      ended << true
    end)
    caller = Thread.new do
      Thread.current.report_on_exception = false
      call(kernel, 'hang')
    end
    patiently { began.pop }
    caller.raise(ArgumentError, 'enough')
    assert_raises(ArgumentError) { patiently { caller.join } }
    patiently { ended.pop }
    assert_equal [], invoke(kernel, 'agent.calls')['calls']
  end

  # ---- events ----

  def test_events_are_delivered_in_order
    kernel = kernel()
    events = Queue.new
    subscription = kernel.subscribe('news.*', Hears.new { |event| events << event })
    10.times { |n| invoke(kernel, 'event.publish', subject: 'news.today', payload: { n: n }) }
    heard = Array.new(10) { patiently { events.pop } }
    assert_equal((0..9).map { |n| ['news.today', { 'n' => n }, 0] },
                 heard.map { |e| [e.subject, JSON.parse(e.payload), e.missed_before] })
    assert_equal 0, subscription.missed
    subscription.unsubscribe
    assert_equal 0, invoke(kernel, 'event.publish', subject: 'news.today')['queued']
    subscription.unsubscribe
  end

  def test_a_listener_may_call_the_kernel_and_may_raise
    kernel = kernel()
    said = Queue.new
    # The listener raises, which is logged; its own second event comes after that.
    kernel.subscribe('ask', Hears.new do |event|
      said << invoke(kernel, 'event.matches', pattern: 'a.*', subject: JSON.parse(event.payload))
      raise 'no more'
    end)
    %w[a.b b.a].each { |subject| invoke(kernel, 'event.publish', subject: 'ask', payload: subject) }
    assert_equal [true, false], Array.new(2) { patiently { said.pop }['matches'] }
    records = invoke(kernel, 'observe.logs', target: 'sutazai.event')['records']
    assert_equal 'a listener failed', records.first['message']
    assert_equal 'ask', records.first['fields']['subject']
    assert_includes records.first['fields']['error'], 'no more'
  end

  def test_a_subscription_need_not_be_kept
    kernel = kernel()
    events = Queue.new
    Thread.new { kernel.subscribe('a', Hears.new { |event| events << event }) }.join
    GC.start
    invoke(kernel, 'event.publish', subject: 'a')
    assert_equal 'null', patiently { events.pop }.payload
  end

  def test_a_subscription_is_checked
    kernel = kernel()
    failure('event.subject_invalid') { kernel.subscribe('a..b', Hears.new { |_| }) }
    failure('base.invalid') { kernel.subscribe('a', Hears.new { |_| }, '{"capacities": 1}') }
    assert_equal 0, S::CallbackInterfaceListenerFfiConverter.handle_map.size
  end

  # ---- life and death ----

  def test_a_configuration_is_checked
    error = failure('base.invalid') { S::Kernel.new('{"sead": 1}') }
    assert_equal [6, S::ErrorClass::PERSISTENT], [error.code, error.error_class]
    assert_includes error.reason, 'sead'
    failure('config.manifest_unreadable') { S::Kernel.new('{"manifest": "/nowhere/to/be/found.toml"}') }
  end

  def test_a_kernel_starts_once
    kernel = kernel(start: false)
    failure('base.not_running') { call(kernel, 'any') }
    2.times { kernel.start }
    2.times { kernel.stop }
    failure('base.not_running') { kernel.start }
    failure('base.not_running') { call(kernel, 'any') }
  end

  def test_calls_under_way_finish_before_a_kernel_stops
    kernel = kernel()
    began = Queue.new
    go_on = Queue.new
    draining = Queue.new
    kernel.subscribe('kernel.draining', Hears.new { |_| draining << true })
    kernel.add_agent(card('slow'), Does.new do |task|
      began << true
      patiently { go_on.pop }
      task.input
    end)
    caller = Thread.new { call(kernel, 'slow', 'done') }
    patiently { began.pop }
    stopper = Thread.new { kernel.stop(PATIENCE * 1000) }
    patiently { draining.pop }
    go_on << true
    assert_equal 'done', caller.value
    patiently { stopper.join }
  end

  def test_virtual_time_runs_on_the_thread_that_advances_it
    kernel = kernel(clock: 'virtual')
    threads = []
    kernel.add_agent(card('where'), Does.new { |_| threads << Thread.current && 'null' })
    ticket = kernel.submit('agent.call', request('where'))
    assert_nil ticket.take
    assert_operator kernel.advance(0), :>, 0
    assert_equal '{"call":1,"output":null}', ticket.take
    assert_equal [Thread.current], threads
    failure('base.unsupported') { kernel().advance(1) }
  end

  def test_a_forked_child_is_told
    kernel = kernel()
    kernel.add_agent(card('echo'), Does.new(&:input))
    subscription = kernel.subscribe('a', Hears.new { |_| })
    ticket = kernel.submit('kernel.status')
    reader, writer = IO.pipe
    child = fork do
      reader.close
      names = [-> { kernel.invoke('kernel.status') }, -> { kernel.stop }, -> { kernel.add_agent(card('x'), Does.new) },
               -> { ticket.take }, -> { ticket.answer }, -> { ticket.cancel },
               -> { subscription.unsubscribe }].map do |use|
        use.call
        'nothing'
      rescue Failed => e
        e.name
      end
      writer.write(JSON.generate(names.uniq))
      writer.close
      # With what Ruby does at the end of a program: its finalizers let go of the handles.
      exit 0
    end
    writer.close
    assert_equal ['base.forked'], JSON.parse(patiently { reader.read })
    _, status = patiently { Process.wait2(child) }
    assert_predicate status, :success?
    assert_equal 'still there', call(kernel, 'echo', 'still there')
  ensure
    reader&.close
  end

  # A program that ends without stopping its kernel: running, never started, or with a call under way.
  def test_a_program_may_end_with_its_kernel
    lives = ['', 'kernel.start', 'kernel.start; kernel = nil; GC.start',
             'kernel.start; kernel.submit("agent.call", %q({"skill": "hang"})); $began.pop',
             'kernel.start; exit!(true)']
    lives.each do |life|
      program = <<~RUBY
        require 'sutazai_kernel'
        $began = Queue.new
        class Hang < SutazaiKernel::Agent
          def handle(_)
            $began << true
            sleep
          end
        end
        class Deaf < SutazaiKernel::Listener
          def event(_) = nil
        end
        kernel = SutazaiKernel::Kernel.new
        kernel.add_agent('{"name": "hang", "skills": ["hang"]}', Hang.new)
        kernel.subscribe('>', Deaf.new)
        $stdout.sync = true
        puts 'the end'
        #{life}
      RUBY
      assert_equal ["the end\n", 0], run_program(program), life
    end
  end

  # As `stop` says: the call under way goes on until the agent hears that the kernel drains.
  def test_a_kernel_is_stopped_when_the_program_ends
    program = <<~RUBY
      require 'sutazai_kernel'
      $began, $draining = Queue.new, Queue.new
      class Waits < SutazaiKernel::Agent
        def handle(_)
          $began << true
          $draining.pop
          puts 'drained'
          'null'
        end
      end
      class Hears < SutazaiKernel::Listener
        def event(_) = $draining << true
      end
      kernel = SutazaiKernel::Kernel.new
      kernel.add_agent('{"name": "w", "skills": ["w"]}', Waits.new)
      kernel.subscribe('kernel.draining', Hears.new)
      kernel.start
      ticket = kernel.submit('agent.call', '{"skill": "w"}')
      $began.pop
      $stdout.sync = true
      puts 'the end'
    RUBY
    assert_equal ["the end\ndrained\n", 0], run_program(program)
  end

  # What is collected lets go of what it held; on its own, where nothing is left on a stack.
  def test_collected_kernels_let_go_of_their_agents
    program = <<~RUBY
      require 'sutazai_kernel'
      agents = SutazaiKernel::CallbackInterfaceAgentFfiConverter.handle_map
      listeners = SutazaiKernel::CallbackInterfaceListenerFfiConverter.handle_map
      Thread.new do
        100.times do
          kernel = SutazaiKernel::Kernel.new
          kernel.add_agent('{"name": "a", "skills": ["a"]}', SutazaiKernel::Agent.new)
          kernel.subscribe('>', SutazaiKernel::Listener.new)
        end
      end.join
      # The collector may take a number that lies about for one of them.
      until agents.size < 10 && listeners.size < 10
        GC.start
        Thread.pass
      end
      puts 'let go of'
    RUBY
    assert_equal ["let go of\n", 0], run_program(program)
  end

  # What a program of its own printed, and its exit status.
  def run_program(program)
    path = $LOAD_PATH.map { |folder| "-I#{folder}" }
    Open3.popen2e(RbConfig.ruby, *path, '-e', program) do |_, output, child|
      patiently { [output.read, child.value.exitstatus] }
    rescue Timeout::Error
      Process.kill(:KILL, child.pid)
      raise
    end
  end
end
