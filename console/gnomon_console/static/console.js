// Fetches what the panels of an open dashboard show, and hands it to ECharts and AG Grid. All that
// is decided about a chart is decided in gnomon_console/panels; here it meets the browser's size.
(() => {
  const grey = 'rgba(128,128,128,.35)';
  const words = () => (document.body.classList.contains('body--dark') ? '#a3acba' : '#5b6472');
  const ground = () => (document.body.classList.contains('body--dark') ? '#1b1f27' : '#fff');
  const digits = v => (v === null || v === undefined ? '-' : String(+(+v).toPrecision(4)));
  let board = null;
  let timer = null;

  const clock = new Intl.DateTimeFormat(undefined, {hour: '2-digit', minute: '2-digit'});
  const day = new Intl.DateTimeFormat(undefined, {month: 'short', day: 'numeric'});
  const full = new Intl.DateTimeFormat(undefined, {dateStyle: 'medium', timeStyle: 'medium'});
  const second = new Intl.DateTimeFormat(undefined, {hour: '2-digit', minute: '2-digit', second: '2-digit'});
  const moment = (ms, span) => (span > 2 * 86400e3 ? day : span < 600e3 ? second : clock).format(new Date(ms));

  const escaped = text => String(text).replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

  function chart(panel, given, element) {
    const option = given.chart;
    const [start, step] = given.times || [0, 0];
    const suffix = given.suffix || '';
    option.textStyle = {fontFamily: 'Roboto, sans-serif', color: words()};
    option.backgroundColor = 'transparent';
    if (option.xAxis && option.xAxis.type === 'time') {
      const span = option.xAxis.max - option.xAxis.min;
      for (const series of option.series) {
        const all = series.values;
        delete series.values;
        if (!all) continue;
        // A value between two gaps is a line without a length: it is shown as a point.
        const alone = all.map((v, i) => v !== null && (all[i - 1] ?? null) === null && (all[i + 1] ?? null) === null);
        series.showSymbol = alone.includes(true);
        series.symbol = series.showSymbol ? 'none' : 'emptyCircle';
        series.data = all.map((v, i) => (alone[i] ? {value: [start + i * step, v], symbol: 'circle'} : [start + i * step, v]));
      }
      const named = Object.keys(given.legend);
      const fits = Math.max(1, Math.floor((element.$el.clientHeight - 130) / 17));
      const rows = Math.min(named.length, fits);
      // Pages of a long legend have buttons below them.
      const tall = rows * 13 + (named.length > rows ? 24 : 4);
      option.grid = {left: 8, right: 16, top: 12, bottom: tall + (named.length > rows ? 12 : 4), containLabel: true};
      option.xAxis.axisLabel = {formatter: v => moment(v, span), color: words(), hideOverlap: true};
      option.xAxis.axisLine = {lineStyle: {color: grey}};
      option.xAxis.splitNumber = Math.max(2, Math.floor(element.$el.clientWidth / 110));
      option.yAxis.axisLabel = {formatter: v => digits(v) + suffix, color: words()};
      option.yAxis.splitNumber = 5;
      option.legend = {
        type: 'scroll', orient: 'vertical', left: 4, bottom: 0, height: tall, itemWidth: 14, itemHeight: 4,
        itemGap: 6, pageIconSize: 9, icon: 'roundRect', data: named,
        formatter: name => given.legend[name] || name,
        textStyle: {color: words(), fontSize: 11, width: element.$el.clientWidth - 60, overflow: 'truncate'},
        pageTextStyle: {color: words()},
      };
      option.tooltip = {
        trigger: 'axis', confine: true, order: 'valueDesc', appendTo: 'body',
        axisPointer: {type: 'line', lineStyle: {color: grey}},
        valueFormatter: v => (Array.isArray(v) ? digits(v[1]) : digits(v)) + suffix,
      };
      option.toolbox = {show: true, itemSize: 0, feature: {dataZoom: {yAxisIndex: 'none'}}};
    } else if (given.cells) {
      const span = given.cells * step;
      option.xAxis.data = Array.from({length: given.cells}, (_, i) => start + i * step);
      const every = Math.ceil(given.cells / Math.max(2, Math.floor(element.$el.clientWidth / 110)));
      option.xAxis.axisLabel = {formatter: v => moment(+v, span), color: words(), hideOverlap: true, interval: every - 1};
      option.xAxis.axisTick = {show: false};
      option.yAxis.axisLabel = {color: words(), width: 170, overflow: 'truncate'};
      option.yAxis.axisTick = {show: false};
      option.grid = {left: 8, right: 12, top: 8, bottom: option.visualMap.show === false ? 8 : 36, containLabel: true};
      option.tooltip = {
        confine: true, appendTo: 'body',
        formatter: p => `${full.format(new Date(+option.xAxis.data[p.value[0]]))}<br>${escaped(option.yAxis.data[p.value[1]])}: <b>${digits(p.value[2])}</b>`,
      };
      if (option.visualMap.pieces) {
        option.visualMap.textStyle = {color: words()};
        // What parts the stripes of two series lies over them.
        option.yAxis.splitLine = {show: true, lineStyle: {color: ground(), width: 5}};
        option.yAxis.z = 10;
      }
    } else if (given.bars) {
      option.grid = {left: 8, right: 76, top: 4, bottom: 4, containLabel: true};
      option.yAxis.axisLabel = {color: words(), width: element.$el.clientWidth * .42, overflow: 'truncate'};
      for (const series of option.series) series.label.color = words();
    } else if (given.graph) {
      option.tooltip = {confine: true, appendTo: 'body'};
      if (given.high) roomy(panel, given, element);
      for (const series of option.series) { series.label.color = words(); series.edgeLabel.color = words(); }
    }
    const drawn = element.chart;
    const shape = JSON.stringify(option.series.map(s => [s.name, s.type]));
    // Old lines go only if other ones came: what the mouse points at stays where it is.
    drawn.setOption(option, {notMerge: panel.shape !== shape && !given.graph, replaceMerge: given.graph ? ['series'] : undefined});
    if (panel.shape === undefined) wire(panel, drawn);
    panel.shape = shape;
    if (given.times && !given.cells) {
      drawn.dispatchAction({type: 'takeGlobalCursor', key: 'dataZoomSelect', dataZoomSelectActive: true});
    }
  }

  // A map takes the room that its nodes need; where a screen has less, it is pushed sideways.
  function roomy(panel, given, element) {
    element.$el.closest('.panel').style.setProperty('--h', given.high);
    element.$el.style.minWidth = `${given.wide}px`;
    element.$el.parentElement.style.overflowX = 'auto';
    element.chart.resize();
    const [series] = given.chart.series;
    const wide = element.chart.getWidth() - series.left - series.right;
    const high = element.chart.getHeight() - series.top - series.bottom;
    for (const node of series.data) { node.x *= wide; node.y *= high; }
  }

  function wire(panel, drawn) {
    drawn.group = 'board';
    drawn.on('click', event => {
      if (event.data && event.data.link) location.href = event.data.link;
      else if (event.data && event.data.trace) location.href = board.trace.replace('{}', event.data.trace);
      else if (panel.given.links && panel.given.links[event.seriesName || event.name]) {
        location.href = panel.given.links[event.seriesName || event.name];
      } else if (panel.given.bars && panel.given.links[event.name]) location.href = panel.given.links[event.name];
    });
    drawn.on('datazoom', event => {
      const zoom = (event.batch || [event])[0];
      if (zoom.startValue === undefined) return;
      go({from: Math.floor(zoom.startValue), to: Math.ceil(zoom.endValue)});
    });
  }

  function values(panel, given, element) {
    const place = document.createElement('div');
    place.className = 'values';
    for (const one of given.values) {
      const box = document.createElement(one.link ? 'a' : 'div');
      if (one.link) box.href = one.link;
      box.style.setProperty('--colour', one.colour);
      box.className = given.filled ? 'filled' : '';
      const number = document.createElement('div');
      number.className = given.filled ? 'number' : 'number tinted';
      number.textContent = one.text;
      // As large as there is room: a figure is about half as wide as it is high.
      number.style.fontSize = `clamp(12px, min(34cqh, ${150 / Math.max(8, one.text.length)}cqw), 46px)`;
      box.append(number);
      if (one.name) {
        const name = document.createElement('div');
        name.className = 'name';
        name.title = name.textContent = one.name;
        box.append(name);
      }
      place.append(box);
    }
    element.replaceChildren(place);
  }

  function cell(params) {
    const given = params.value;
    if (!given) return '';
    const box = document.createElement(given.l ? 'a' : 'span');
    if (given.l) box.href = given.l;
    box.textContent = given.t;
    const bar = params.colDef.context && params.colDef.context.bar;
    if (bar && given.v !== undefined && given.v !== null) {
      const whole = document.createElement('div');
      const part = document.createElement('div');
      part.className = 'cell-bar';
      part.style.width = `${Math.max(0, Math.min(1, (given.v - bar[0]) / (bar[1] - bar[0]))) * 100}%`;
      part.style.background = given.c;
      whole.append(part, box);
      return whole;
    }
    if (given.c) {
      box.className = 'tinted';
      box.style.setProperty('--colour', given.c);
    }
    return box;
  }

  const order = (a, b) => {
    const [x, y] = [a, b].map(c => (c ? c.v ?? c.t : ''));
    return typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y));
  };

  function rows(panel, given, element) {
    const shape = JSON.stringify(given.columns);
    if (panel.shape !== shape) {
      panel.shape = shape;
      element.api.setGridOption('columnDefs', given.columns.map((column, i) => ({
        field: `c${i}`, headerName: column.field, headerTooltip: column.field, width: column.width,
        flex: column.width ? undefined : 1, minWidth: 80, sort: column.sort, comparator: order,
        cellRenderer: cell, valueFormatter: p => (p.value ? p.value.t : ''), context: {bar: column.bar},
        tooltipValueGetter: p => p.value && p.value.t,
      })));
    }
    element.api.setGridOption('rowData', given.rows);
  }

  function show(panel, given) {
    panel.given = given;
    const said = document.getElementById(`said-${panel.id}`);
    const text = given.error || given.unsupported || given.empty || '';
    said.textContent = text;
    said.classList.toggle('bad', Boolean(given.error || given.unsupported));
    const body = document.getElementById(`body-${panel.id}`);
    body.dataset.drawn = String((+body.dataset.drawn || 0) + 1);
    for (const part of body.querySelectorAll('.fill')) part.style.visibility = text ? 'hidden' : '';
    if (text) return;
    if (given.values) values(panel, given, body.querySelector('.fill'));
    else {
      const element = window.getElement(panel.element);
      if (given.rows) rows(panel, given, element);
      else chart(panel, given, element);
    }
  }

  const ready = panel => {
    if (!panel.element) return true;
    const element = window.getElement(panel.element);
    return Boolean(element && (panel.kind === 'table' ? element.api : element.chart));
  };

  const onScreen = panel => {
    const {top, bottom} = document.getElementById(`body-${panel.id}`).getBoundingClientRect();
    return top < innerHeight && bottom > 0;
  };

  async function refresh() {
    clearTimeout(timer);
    const open = board.panels.filter(panel => {
      const body = document.getElementById(`body-${panel.id}`);
      return panel.kind !== 'text' && body && body.offsetParent !== null;
    });
    if (!document.hidden && open.length) {
      const ask = new URLSearchParams(location.search);
      ask.set('ids', open.map(panel => panel.id).join(','));
      try {
        const answer = await fetch(`/api/boards/${board.uid}/panels?${ask}`);
        const given = await answer.json();
        if (!answer.ok) throw new Error(given.detail);
        board.drawn = performance.now();
        const drawn = panel => { const data = given.panels[panel.id]; if (data && ready(panel)) show(panel, data); };
        // What can be seen first; the browser answers to people between the others.
        const seen = new Set(open.filter(onScreen));
        seen.forEach(drawn);
        document.body.dataset.seen = String((+document.body.dataset.seen || 0) + 1);
        for (const panel of open.filter(panel => !seen.has(panel))) {
          await new Promise(done => setTimeout(done));
          drawn(panel);
        }
        document.body.dataset.drawn = String((+document.body.dataset.drawn || 0) + 1);
        note('');
      } catch (error) {
        note(`Not up to date: ${error.message}`);
      }
    }
    if (board.every) timer = setTimeout(refresh, board.every * 1000);
  }

  function note(text) {
    const place = document.getElementById('note');
    if (place) { place.textContent = text; place.style.display = text ? '' : 'none'; }
  }

  function go(changes) {
    const address = new URL(location.href);
    for (const [name, value] of Object.entries(changes)) {
      address.searchParams.delete(name);
      for (const each of Array.isArray(value) ? value : [value]) {
        if (each !== '' && each !== null) address.searchParams.append(name, each);
      }
    }
    location.assign(address);
  }

  window.gnomon = {
    open(given) {
      board = given;
      const wait = () => (board.panels.filter(p => document.getElementById(`body-${p.id}`)?.offsetParent).every(ready) ? refresh() : setTimeout(wait, 30));
      wait();
      document.addEventListener('visibilitychange', () => document.hidden || refresh());
    },
    refresh, go,
    csv(id) { location.assign(`/api/boards/${board.uid}/panels/${id}.csv${location.search}`); },
    every(seconds) { board.every = seconds; refresh(); },
    // Light or dark, on this and every page that this browser opens from now on.
    turn() {
      const dark = !document.body.classList.contains('body--dark');
      document.cookie = `gnomon-dark=${dark ? 'yes' : 'no'}; path=/; max-age=31536000; samesite=strict`;
      setDark(dark);
      // Charts take their words' colour from the page, which has its own by then.
      setTimeout(() => board && refresh(), 50);
    },
  };
})();
