namespace Flint.App.Upstreams;

/// <summary>
/// Keeps requests from a target that fails: opens after so many failures in a row, lets one request try after a delay, and closes
/// where that one succeeds. Any thread.
/// </summary>
/// <param name="time">The clock.</param>
internal sealed class Circuit(TimeProvider time)
{
    private readonly Lock _gate = new();
    private int _failures; // in a row
    private long? _opened; // when; null while it is closed
    private TimeSpan _delay;
    private bool _isTried; // by one request, while it is open

    /// <summary>Whether it is open.</summary>
    public bool IsOpen
    {
        get
        {
            lock (_gate)
                return _opened is not null;
        }
    }

    /// <summary>Whether a request may pass.</summary>
    public bool Admits
    {
        get
        {
            lock (_gate)
                return AdmitsNow;
        }
    }

    /// <summary>Lets a request pass, where it may.</summary>
    /// <param name="isTrial">Whether it is the one that tries an open circuit.</param>
    public bool TryEnter(out bool isTrial)
    {
        lock (_gate)
        {
            isTrial = _opened is not null;
            if (!AdmitsNow)
                return false;
            _isTried |= isTrial;
            return true;
        }
    }

    /// <summary>A request that passed has succeeded.</summary>
    public void Succeed(bool isTrial)
    {
        lock (_gate)
        {
            if (_opened is not null && !isTrial)
                return; // it began before
            _opened = null;
            _isTried = false;
            _failures = 0;
        }
    }

    /// <summary>A request that passed has failed.</summary>
    /// <param name="isTrial">Whether it was the one that tries.</param>
    /// <param name="most">Failures in a row that open the circuit.</param>
    /// <param name="delay">How long it then lets nothing pass.</param>
    /// <returns>Whether it was closed, and is open now.</returns>
    public bool Fail(bool isTrial, int most, TimeSpan delay)
    {
        lock (_gate)
        {
            bool wasOpen = _opened is not null;
            if (isTrial ? !wasOpen : wasOpen || ++_failures < most)
                return false;
            _opened = time.GetTimestamp();
            _delay = delay;
            _isTried = false;
            return !wasOpen;
        }
    }

    /// <summary>A request that passed has ended without telling anything about the target.</summary>
    public void Release(bool isTrial)
    {
        lock (_gate)
            _isTried &= !isTrial;
    }

    private bool AdmitsNow => _opened is not long since || (!_isTried && time.GetElapsedTime(since) >= _delay);
}
