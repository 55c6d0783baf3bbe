namespace Flint.App.Upstreams;

/// <summary>One request's place at a target. What it says last about the target counts; one that says nothing leaves it as it was.</summary>
internal sealed class UpstreamLease : IDisposable
{
    private readonly UpstreamOptions _options;
    private bool _isTrial;
    private bool _isSettled;

    /// <summary>Takes a place that was entered.</summary>
    /// <param name="member">The target.</param>
    /// <param name="options">The model's configuration.</param>
    /// <param name="isTrial">Whether it tries an open circuit.</param>
    public UpstreamLease(UpstreamMember member, UpstreamOptions options, bool isTrial)
    {
        Member = member;
        _options = options;
        _isTrial = isTrial;
    }

    /// <summary>The target.</summary>
    public UpstreamMember Member { get; }

    /// <summary>The answer has begun: who tries an open circuit has seen enough.</summary>
    public void Begin()
    {
        if (!_isTrial)
            return;
        Member.Target.Circuit.Succeed(isTrial: true);
        Member.Target.Log("answers again");
        _isTrial = false;
    }

    /// <summary>The target did what it should.</summary>
    public void Succeed()
    {
        _isSettled = true;
        Member.Target.Circuit.Succeed(_isTrial);
    }

    /// <summary>It did not.</summary>
    /// <param name="isBusy">Whether it had too much to do: it is not broken.</param>
    public void Fail(bool isBusy)
    {
        Member.Target.CountFailure();
        if (isBusy)
            return;
        _isSettled = true;
        if (Member.Target.Circuit.Fail(_isTrial, _options.CircuitFailures, _options.CircuitDelay))
            Member.Target.Log($"is left alone for {_options.CircuitDelay.TotalSeconds} s after {_options.CircuitFailures} failures in a row");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_isSettled)
            Member.Target.Circuit.Release(_isTrial);
        Member.Target.Leave();
    }
}
