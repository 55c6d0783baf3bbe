using Flint.App.Upstreams;

namespace Flint.App.Tests.Upstreams;

/// <summary>The circuit breaker of a target.</summary>
public sealed class CircuitTests
{
    private const int Most = 3;

    private static readonly TimeSpan Delay = TimeSpan.FromSeconds(30);

    private readonly FakeTime _time = new();

    [Fact]
    public void It_opens_after_failures_in_a_row_and_not_before()
    {
        var circuit = new Circuit(_time);
        Assert.False(circuit.Fail(false, Most, Delay));
        Assert.False(circuit.Fail(false, Most, Delay));
        circuit.Succeed(false);
        Assert.False(circuit.Fail(false, Most, Delay));
        Assert.False(circuit.Fail(false, Most, Delay));
        Assert.True(circuit.Admits);
        Assert.True(circuit.Fail(false, Most, Delay));
        Assert.True(circuit.IsOpen);
        Assert.False(circuit.TryEnter(out _));
    }

    [Fact]
    public void One_request_tries_after_the_delay_and_closes_or_opens_it()
    {
        Circuit circuit = Open();
        _time.Advance(Delay - TimeSpan.FromTicks(1));
        Assert.False(circuit.Admits);
        _time.Advance(TimeSpan.FromTicks(1));
        Assert.True(circuit.TryEnter(out bool isTrial));
        Assert.True(isTrial);
        Assert.False(circuit.TryEnter(out _));
        Assert.False(circuit.Fail(isTrial: true, Most, Delay)); // it was open before
        Assert.False(circuit.Admits);

        _time.Advance(Delay);
        Assert.True(circuit.TryEnter(out isTrial));
        circuit.Succeed(isTrial);
        Assert.False(circuit.IsOpen);
        Assert.True(circuit.TryEnter(out isTrial));
        Assert.False(isTrial);
    }

    [Fact]
    public void A_trial_that_tells_nothing_leaves_it_to_another()
    {
        Circuit circuit = Open();
        _time.Advance(Delay);
        Assert.True(circuit.TryEnter(out bool isTrial));
        circuit.Release(isTrial);
        Assert.True(circuit.TryEnter(out isTrial));
        Assert.True(isTrial);
    }

    [Fact]
    public void What_began_before_it_opened_does_not_close_it()
    {
        Circuit circuit = Open();
        circuit.Succeed(isTrial: false);
        Assert.True(circuit.IsOpen);
        _time.Advance(Delay / 2);
        circuit.Fail(isTrial: false, Most, Delay); // nor keeps it open for longer
        _time.Advance(Delay / 2);
        Assert.True(circuit.Admits);
    }

    private Circuit Open()
    {
        var circuit = new Circuit(_time);
        for (int i = 0; i < Most; i++)
            circuit.Fail(false, Most, Delay);
        return circuit;
    }
}
