
module SutazaiKernel
  # A finalizer must not lock, and to let go of a handle may take that: of a kernel with its agents,
  # or a subscription with its listener. So it is done on a thread; when the program ends there are
  # none any more, and nobody misses it.
  [Kernel, Subscription, Ticket].each do |type|
    type.singleton_class.prepend(Module.new do
      def uniffi_define_finalizer_by_handle(...)
        free = super
        proc do |id|
          Thread.new { free.call(id) }
        rescue ThreadError
          nil
        end
      end
    end)
  end

  # A kernel that runs is kept, and is stopped when the program ends: calls finish, and no thread of
  # it is left that could call back while Ruby takes itself apart.
  RUNNING = {}.compare_by_identity
  private_constant :RUNNING

  Kernel.prepend(Module.new do
    def start
      super
      RUNNING[self] = true
      nil
    end

    def stop(...)
      super
    ensure
      RUNNING.delete(self)
    end
  end)

  at_exit do
    RUNNING.keys.each do |kernel|
      kernel.stop
    rescue KernelError::Failed
      # A component did not stop in time, or this is a child of the process that started it.
    end
  end
end
